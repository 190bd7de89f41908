"""Train and measure one model for every cell of a grid, told by a YAML file and overrides on the command line."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, cast

import yaml
from transformers import HfArgumentParser

from mitigate import world
from mitigate.recipes import made_up
from mitigate.recipes.arguments import (
    ITEM_SUFFIXES,
    JOBS,
    DataArguments,
    FitArguments,
    GridArguments,
    MitigationArguments,
    ModelArguments,
    RunArguments,
    TaskArguments,
)
from mitigate.recipes.checks import check_config
from mitigate.recipes.digests import digest_path
from mitigate.spelling import did_you_mean

PARTS = (GridArguments, MitigationArguments, ModelArguments, FitArguments, DataArguments, TaskArguments, RunArguments)


class ConfigError(ValueError):
    """Raised before any training when a configuration cannot be run; lists all that is wrong with it."""


@dataclass(frozen=True)
class SweepConfig:
    """
    A whole configuration, in its parts.

    Args:
        grid (`GridArguments`):
            The cells.
        mitigation (`MitigationArguments`):
            Settings of the mitigations.
        model (`ModelArguments`):
            The model.
        fit (`FitArguments`):
            Fine-tuning.
        data (`DataArguments`):
            The rows.
        tasks (`TaskArguments`):
            The downstream tasks.
        run (`RunArguments`):
            Execution.
    """

    grid: GridArguments
    mitigation: MitigationArguments
    model: ModelArguments
    fit: FitArguments
    data: DataArguments
    tasks: TaskArguments
    run: RunArguments

    @cached_property
    def contents(self) -> dict[str, Any]:
        """`dict`: By the name of each field that names files, what they hold; under `code`, modules that make rows."""
        data, model = self.data, self.model.model
        named = {name: getattr(data, name) for name in ("real_file", "augmented_file", "test_file")}
        named["twin_pairs"] = self.mitigation.twin_pairs
        found: dict[str, Any] = {
            name: digest_path(Path(path)) for name, path in named.items() if path and Path(path).exists()
        }
        found["lexicon"] = [
            digest_path(Path(name)) if Path(name).is_file() else name for name in self.mitigation.lexicon
        ]
        if model is not None and Path(model).is_dir():
            found["model"] = digest_path(Path(model), "*")
        if self.tasks.items_dir is not None:
            found["items_dir"] = {path.name: digest_path(path) for path in self.item_files.values()}
        code = [Path(world.__file__)] if self.grid.task == "world" else []
        code += _package_files(made_up) if self.tasks.made_up_rows else []
        return found | {"code": {path.name: digest_path(path) for path in code}}

    @property
    def labels(self) -> list[str] | None:
        """`list[str]` or `None`: Labels of a classifier; `None` for a language model."""
        return sorted(self.data.stereotype_of()) if self.model.architecture == "classification" else None

    @property
    def item_files(self) -> dict[str, Path]:
        """`dict[str, Path]`: Of each task that has a file of items, the file; and that of `jobs`, if there is one."""
        folder = self.tasks.items_dir
        if folder is None:
            return {}
        paths = {
            name: [Path(folder) / f"{name}{suffix}" for suffix in ITEM_SUFFIXES] for name in (*self.tasks.tasks, JOBS)
        }
        found = {name: next((path for path in own if path.is_file()), None) for name, own in paths.items()}
        return {name: path for name, path in found.items() if path is not None}

    def as_dict(self) -> dict[str, Any]:
        """
        Write the configuration as one flat mapping, as in the YAML file.

        Returns:
            `dict`: Value of every field.
        """
        parts = (self.grid, self.mitigation, self.model, self.fit, self.data, self.tasks, self.run)
        return {name: value for part in parts for name, value in dataclasses.asdict(part).items()}


def parse_config(arguments: list[str]) -> SweepConfig:
    """
    Read a configuration from `--config FILE` and overrides such as `--seeds 0 1 2`.

    Args:
        arguments (`list[str]`):
            Command line without the program's name.

    Returns:
        `SweepConfig`: The configuration, checked.

    Raises:
        ConfigError: If a key does not exist or a value cannot be; the message lists everything that is wrong.
    """
    parsed, problems = read_arguments(PARTS, arguments, sys.modules[__name__].__doc__)
    config = SweepConfig(*parsed)
    problems += check_config(config)
    if problems:
        raise ConfigError("\n".join(problems))
    return config


def read_arguments(
    parts: Sequence[type], arguments: list[str], description: str | None
) -> tuple[list[Any], list[str]]:
    """
    Read dataclasses from `--config FILE` and overrides on the command line, which come later and win.

    Args:
        parts (`Sequence[type]`):
            Dataclasses, whose fields are the keys.
        arguments (`list[str]`):
            Command line without the program's name.
        description (`str`, *optional*):
            What `--help` says of the program.

    Returns:
        `tuple[list, list[str]]`: An instance of each part, and one sentence for each key that does not exist or value
        of the wrong shape.

    Raises:
        ConfigError: If the file cannot be read, or a value is of the wrong type.
    """
    parser = _Parser(cast(Any, parts), description=description, allow_abbrev=False)
    parser.add_argument("--config", help="YAML file with any of these fields.")
    parser.add_argument(
        "--tiny", action="store_true", help="Read `<name>-tiny.yaml` on top of it, which lies beside it."
    )
    known = [option.name for part in parts for option in dataclasses.fields(part)]
    given = parser.parse_known_args(arguments)[0]
    written, problems = _as_words(_read_files(given.config, tiny=given.tiny), parts)
    # What comes later on the command line wins, so the files go first.
    *parsed, _, unknown = parser.parse_args_into_dataclasses([*written, *arguments], return_remaining_strings=True)
    return list(parsed), problems + [_unknown_word(word, known) for word in unknown]


class _Parser(HfArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def _read_files(config: str | None, *, tiny: bool) -> dict[str, Any]:
    """Read the file, and on top of it that of the tiny run."""
    if config is None:
        if tiny:
            raise ConfigError("`--tiny` reads a file beside that of `--config`, so name one.")
        return {}
    path = Path(config)
    content = _read_yaml(path)
    if not tiny:
        return content
    overlay = path.with_name(f"{path.stem}-tiny{path.suffix}")
    if not overlay.is_file():
        raise ConfigError(f"`--tiny`: {path} has no tiny run, for which {overlay} would have to be there.")
    return content | _read_yaml(overlay)


class _KeysOnce(yaml.SafeLoader):
    """The reader takes the last of two lines with one key without a word, and a file that was pasted to has both."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        known: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in known:
                problem = f"the key '{key.value}' stands there twice; leave one out"
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)
            known.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _read_yaml(path: Path) -> dict[Any, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_KeysOnce)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"`--config`: {path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"`--config`: {path} must hold `key: value` lines, got a {type(content).__name__}.")
    return content


def _as_words(content: dict[Any, Any], parts: Sequence[type]) -> tuple[list[str], list[str]]:
    """Write settings as command-line arguments, which are then checked like those; also tell what cannot be."""
    options = [option for part in parts for option in dataclasses.fields(part)]
    known = [option.name for option in options]
    defaults = {
        option.name: option.default_factory()
        for option in options
        if option.default_factory is not dataclasses.MISSING
    }
    words: list[str] = []
    problems: list[str] = []
    for key, value in content.items():
        if key not in known:
            problems.append(_unknown_word(f"--{key}", known))
        elif isinstance(value, list) != (key in defaults) or _is_nested(value):
            wanted = "a list, such as [a, b]" if key in defaults else "one value"
            problems.append(f"`{key}` must be {wanted}, got {value!r}.")
        elif value == [] != defaults[key]:
            problems.append(f"`{key}` must hold at least one value, got []. Left out, it is {defaults[key]}.")
        elif isinstance(value, list):
            words += [f"--{key}", *map(str, value)] if value else []
        elif value is not None:
            words.append(f"--{key}={value}")
    return words, problems


def _is_nested(value: Any) -> bool:
    return any(isinstance(part, (dict, list)) for part in (value if isinstance(value, list) else [value]))


def _unknown_word(word: str, known: list[str]) -> str:
    if not word.startswith("--"):
        return f"'{word}' belongs to no key; a file of settings is named with `--config {word}`."
    key = word.removeprefix("--").split("=")[0]
    return f"There is no key `{key}`.{did_you_mean(key, known)}"


def _package_files(package: ModuleType) -> list[Path]:
    folder = Path(str(package.__file__)).parent
    return sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".csv", ".yaml"))
