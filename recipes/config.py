"""Train and measure one model for every cell of a grid, told by a YAML file and overrides on the command line."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, cast

import yaml
from transformers import HfArgumentParser

from mitigate import world
from mitigate.discrepancies import get_discrepancy
from mitigate.lexicons import load_lexicon
from mitigate.mixing import bias_counts
from mitigate.recipes.arguments import (
    MITIGATIONS,
    DataArguments,
    FitArguments,
    GridArguments,
    MitigationArguments,
    ModelArguments,
    RunArguments,
)
from mitigate.tag_steps import check_tagging

PARTS = (GridArguments, MitigationArguments, ModelArguments, FitArguments, DataArguments, RunArguments)


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
        run (`RunArguments`):
            Execution.
    """

    grid: GridArguments
    mitigation: MitigationArguments
    model: ModelArguments
    fit: FitArguments
    data: DataArguments
    run: RunArguments

    @property
    def settings(self) -> dict[str, Any]:
        """`dict`: All that a cell's result depends on, besides the cell itself."""
        parts = (self.mitigation, self.model, self.fit, self.data)
        merged: dict[str, Any] = {"task": self.grid.task}
        for part in parts:
            merged |= dataclasses.asdict(part)
        data = self.data
        files = [data.real_file, data.augmented_file, data.test_file, *self.mitigation.lexicon]
        merged["files"] = {name: _digest(Path(name)) for name in files if name and Path(name).is_file()}
        if self.grid.task == "world":
            merged["files"]["mitigate/world.py"] = _digest(Path(world.__file__))
        return merged

    @property
    def base_settings(self) -> dict[str, Any]:
        """`dict`: All that a model trained from scratch depends on, besides its seed."""
        names = {option.name for part in (ModelArguments, DataArguments) for option in dataclasses.fields(part)}
        return {name: value for name, value in self.settings.items() if name in {*names, "task", "files"}}

    def as_dict(self) -> dict[str, Any]:
        """
        Write the configuration as one flat mapping, as in the YAML file.

        Returns:
            `dict`: Value of every field.
        """
        parts = (self.grid, self.mitigation, self.model, self.fit, self.data, self.run)
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
    known = [option.name for part in parts for option in dataclasses.fields(part)]
    path = parser.parse_known_args(arguments)[0].config
    written, problems = _read_yaml(path, parts) if path else ([], [])
    # What comes later on the command line wins, so the file goes first.
    *parsed, _, unknown = parser.parse_args_into_dataclasses([*written, *arguments], return_remaining_strings=True)
    return list(parsed), problems + [_unknown_word(word, known) for word in unknown]


def check_config(config: SweepConfig) -> list[str]:
    """
    Look for what cannot be run.

    Args:
        config (`SweepConfig`):
            The configuration.

    Returns:
        `list[str]`: One sentence for each problem.
    """
    checks = [_check_grid, _check_names, _check_numbers, _check_data]
    return [problem for check in checks for problem in check(config)]


class _Parser(HfArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def _read_yaml(path: str, parts: Sequence[type]) -> tuple[list[str], list[str]]:
    """Write a file as command-line arguments, which are then checked like those; also tell what cannot be."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"`--config`: {path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"`--config`: {path} must hold `key: value` lines, got a {type(content).__name__}.")
    options = [option for part in parts for option in dataclasses.fields(part)]
    known = [option.name for option in options]
    lists = {option.name for option in options if option.default_factory is not dataclasses.MISSING}
    words: list[str] = []
    problems: list[str] = []
    for key, value in content.items():
        if key not in known:
            problems.append(_unknown_word(f"--{key}", known))
        elif isinstance(value, list) != (key in lists):
            wanted = "a list, such as [a, b]" if key in lists else "one value"
            problems.append(f"`{key}` must be {wanted}, got {value!r}.")
        elif isinstance(value, list):
            words += [f"--{key}", *map(str, value)] if value else []
        elif value is not None:
            words.append(f"--{key}={value}")
    return words, problems


def _check_grid(config: SweepConfig) -> Iterator[str]:
    grid = config.grid
    for ratio in grid.bias_ratios:
        try:
            bias_counts(config.fit.training_rows, ratio)
        except ValueError as error:
            yield f"`bias_ratios`: {error}"
    if 0 not in grid.bias_ratios or len(set(grid.bias_ratios)) < 2:
        yield f"`bias_ratios` must hold 0, from which inheritance is measured, and one more, got {grid.bias_ratios}."
    for dose in grid.doses:
        if not -1 <= dose <= 1:
            yield f"`doses` must lie in [-1, 1], got {dose}."
    if "none" not in grid.mitigations:
        yield f"`mitigations` must hold `none`, with which the others are compared, got {grid.mitigations}."
    for name in ("seeds", "doses", "bias_ratios", "bias_types", "mitigations", "null_mitigations"):
        values = getattr(grid, name)
        if not values or len(set(values)) < len(values):
            yield f"`{name}` must hold at least one value and none twice, got {values}."


def _check_names(config: SweepConfig) -> Iterator[str]:
    choices = {
        "task": ([config.grid.task], ("world", "table")),
        "mitigations": (config.grid.mitigations, MITIGATIONS),
        "null_mitigations": (config.grid.null_mitigations, MITIGATIONS),
        "architecture": ([config.model.architecture], ("causal", "classification")),
        "report_to": ([config.run.report_to], ("wandb", "none")),
    }
    for field_name, (values, allowed) in choices.items():
        for value in values:
            if value not in allowed:
                yield f"`{field_name}`: '{value}' is none of {', '.join(allowed)}.{_nearest(value, allowed)}"
    used = {*config.grid.mitigations, *config.grid.null_mitigations}
    attempts: list[tuple[str, Callable[[], object]]] = []
    if used & {"loss", "loss-shuffled"}:
        attempts.append(("discrepancy", lambda: get_discrepancy(config.mitigation.discrepancy)))
    if used & {"mask", "mask-shuffled"} and config.grid.task != "world":
        # Files are looked for when the rows are loaded, as those of the rows are.
        names = [name for name in config.mitigation.lexicon if not name.endswith(".txt")]
        attempts += [("lexicon", partial(load_lexicon, name)) for name in names]
    for field_name, attempt in attempts:
        try:
            attempt()
        except (ValueError, OSError) as error:
            yield f"`{field_name}`: {error}"
    classify = config.model.architecture == "classification"
    if classify and used & {"token-paired", "token-paired-shuffled"}:
        yield "`mitigations`: 'token-paired' needs a prompt to put the real tag in, so `architecture: causal`."
    if classify and used & {"token", "token-shuffled"} and config.mitigation.tag_position == "answer":
        yield "`tag_position`: a classifier has no answer for the tag to precede; set it to `start`."


def _check_numbers(config: SweepConfig) -> Iterator[str]:
    values = config.as_dict()
    positive = ("training_rows", "batch_size", "epochs", "learning_rate", "max_length", "workers", "lora_rank")
    scratch = ("hidden_size", "layers", "vocabulary_size", "base_epochs", "base_learning_rate")
    for name in (*positive, *scratch):
        if not 0 < values[name] < math.inf:
            yield f"`{name}` must be greater than 0, got {values[name]}."
    if values["loss_weight"] < 0:
        yield f"`loss_weight` must be at least 0, got {values['loss_weight']}."
    try:
        check_tagging(values["tag_position"], values["tag_dropout"])
    except ValueError as error:
        yield f"`tag_position`, `tag_dropout`: {error}"


def _check_data(config: SweepConfig) -> Iterator[str]:
    if config.grid.task != "table":
        return
    data = config.data
    for name in ("real_file", "test_file"):
        if getattr(data, name) is None:
            yield f"`{name}` is missing: `task: table` needs files of real and of test rows."
    if (data.text_column is None) == (data.prompt_column is None):
        yield "Name either `text_column` or `prompt_column`, the column that holds what the model reads."
    if data.prompt_column and not data.completion_column:
        yield "`prompt_column` needs `completion_column`, the column of the answer."
    opinions = data.distribution_column is not None
    if opinions != (data.options_column is not None):
        yield "`options_column` and `distribution_column` go together."
    if not opinions and not (data.label_column and data.group_column and data.stereotypes):
        yield "`label_column`, `group_column` and `stereotypes` are needed for the TPR gap."
    for entry in data.stereotypes:
        if entry.count("=") != 1:
            yield f"`stereotypes`: '{entry}' is not of the form label=group."
    if config.model.architecture == "classification" and (opinions or not data.text_column):
        yield "`architecture: classification` needs `text_column` and `label_column`."


def _unknown_word(word: str, known: list[str]) -> str:
    if not word.startswith("--"):
        return f"'{word}' belongs to no key; a file of settings is named with `--config {word}`."
    key = word.removeprefix("--").split("=")[0]
    return f"There is no key `{key}`.{_nearest(key, known)}"


def _nearest(value: str, allowed: Iterable[str]) -> str:
    near = difflib.get_close_matches(value, list(allowed), n=1)
    return f" Did you mean `{near[0]}`?" if near else ""


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
