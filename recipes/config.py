"""What a sweep can be told: one YAML file, every field of which can be overridden on the command line."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, cast

import yaml
from trl import TrlParser

from mitigate import world
from mitigate.discrepancies import get_discrepancy
from mitigate.lexicons import load_lexicon
from mitigate.mixing import bias_counts
from mitigate.tags import check_tagging

# A "-shuffled" arm is the control of the one before: the same mitigation acting on rows drawn at random.
MITIGATIONS = (
    "none",
    "drop",
    "token",
    "token-shuffled",
    "token-paired",
    "token-paired-shuffled",
    "mask",
    "mask-shuffled",
    "loss",
    "loss-shuffled",
)


class ConfigError(ValueError):
    """Raised before any training when a configuration cannot be run; lists all that is wrong with it."""


def _option(default: Any, help: str) -> Any:
    if isinstance(default, list):
        return field(default_factory=lambda: default, metadata={"help": help})
    return field(default=default, metadata={"help": help})


@dataclass
class GridArguments:
    """The cells of the sweep."""

    task: str = _option(
        "world", "What is trained and measured: `world` (the controlled testbed) or `table` (your rows)."
    )
    bias_ratios: list[float] = _option([0.0, 0.25, 0.5, 0.75], "Bias ratios ρ in [0, 1); 0 must be among them.")
    doses: list[float] = _option([1.0], "Bias doses β in [0, 1] of the augmented rows.")
    mitigations: list[str] = _option(["none"], f"Any of {', '.join(MITIGATIONS)}; `none` must be among them.")
    null_mitigations: list[str] = _option(["none"], "Mitigations that are run at dose 0, the null arm.")
    seeds: list[int] = _option([0, 1, 2, 3, 4], "Seeds: of the draw of rows, of the base model and of training.")


@dataclass
class MitigationArguments:
    """How the mitigations are set."""

    lexicon: list[str] = _option(["gender"], "Sensitive words to mask: names of lexicons, or paths of word lists.")
    discrepancy: str = _option("mean", "Discrepancy of the alignment loss: mean, coral or mmd.")
    loss_weight: float = _option(1.0, "Weight of the alignment loss.")
    tag_position: str = _option("answer", "Where the tag goes: start (of the text) or answer (right before it).")
    tag_dropout: float = _option(0.0, "Share of rows that stay without their tag, in [0, 1).")


@dataclass
class ModelArguments:
    """The model that every cell starts from."""

    model: str | None = _option(
        None, "Hub id or folder of the model. Without one, a small one is trained from scratch."
    )
    architecture: str = _option("causal", "`causal` (language model, TRL's SFTTrainer) or `classification` (Trainer).")
    lora: bool = _option(False, "Train LoRA adapters instead of all weights.")
    lora_rank: int = _option(16, "Rank of the adapters.")
    hidden_size: int = _option(64, "Width of the model trained from scratch.")
    layers: int = _option(2, "Layers of the model trained from scratch.")
    vocabulary_size: int = _option(4000, "Tokens of the vocabulary trained from scratch on the rows of a table.")
    base_epochs: float = _option(6.0, "Epochs in which the model is trained from scratch.")
    base_learning_rate: float = _option(3e-3, "Its learning rate.")
    trust_remote_code: bool = _option(False, "Run code that comes with the model.")


@dataclass
class FitArguments:
    """How the model of a cell is fine-tuned; the same for all cells."""

    training_rows: int = _option(600, "Rows of the training mix, real and augmented together.")
    epochs: float = _option(4.0, "Epochs.")
    learning_rate: float = _option(2e-3, "Learning rate.")
    batch_size: int = _option(32, "Rows in a batch.")
    max_length: int = _option(512, "Tokens after which a row is cut.")


@dataclass
class DataArguments:
    """Where the rows of a table are, and which column is what."""

    real_file: str | None = _option(None, "CSV or JSONL file, or Hub id, of real rows.")
    augmented_file: str | None = _option(None, "Likewise of augmented rows; unnecessary if a column tells them apart.")
    test_file: str | None = _option(None, "Likewise of the rows to measure on.")
    augmented_column: str = _option("augmented", "Boolean column of `real_file` when it holds augmented rows as well.")
    text_column: str | None = _option(None, "Column of the text.")
    prompt_suffix: str = _option("", "Question that follows the text in the prompt of a causal model.")
    prompt_column: str | None = _option(None, "Column of the prompt, instead of the text.")
    completion_column: str | None = _option(None, "Column of the answer, instead of the label.")
    label_column: str | None = _option(None, "Column of the label.")
    group_column: str | None = _option(None, "Column of the group.")
    options_column: str | None = _option(None, "Column of the answers to choose from, in test rows on opinions.")
    distribution_column: str | None = _option(None, "Column of how people answered, in test rows on opinions.")
    stereotypes: list[str] = _option(
        [], "Stereotyped group of each label, as label=group: sign of the gap and the dose."
    )

    def stereotype_of(self) -> dict[str, str]:
        """
        Read the stereotypes.

        Returns:
            `dict[str, str]`: Stereotyped group of each label.
        """
        pairs = (entry.partition("=") for entry in self.stereotypes)
        return {label.strip(): group.strip() for label, _, group in pairs}


@dataclass
class RunArguments:
    """Where and how the sweep runs. None of it changes a result."""

    output_dir: str = _option("outputs/sweep", "Folder of the results.")
    workers: int = _option(2, "Processes, each of which trains one cell at a time.")
    title: str = _option("Bias inheritance", "Title of the report.")
    report_to: str = _option("wandb", "Tracker: `wandb` (offline unless you are logged in) or `none`.")
    project: str = _option("mitigate", "W&B project.")


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
        world_code = [world.__file__] if self.grid.task == "world" else []
        files = (
            *world_code,
            self.data.real_file,
            self.data.augmented_file,
            self.data.test_file,
            *self.mitigation.lexicon,
        )
        merged["files"] = {Path(name).name: _digest(Path(name)) for name in files if name and Path(name).is_file()}
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
    parts = (GridArguments, MitigationArguments, ModelArguments, FitArguments, DataArguments, RunArguments)
    parser = _Parser(cast(Any, parts), description="Train and measure one model for every cell of a grid.")
    try:
        *parsed, unknown = parser.parse_args_and_config(arguments, return_remaining_strings=True)
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise ConfigError(str(error)) from error
    known = [option.name for part in parts for option in dataclasses.fields(part)]
    problems = [_unknown_key(word, known) for word in unknown if word.startswith("--")]
    config = SweepConfig(*parsed)
    problems += check_config(config)
    if problems:
        raise ConfigError("\n".join(problems))
    return config


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


class _Parser(TrlParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


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
        if not 0 <= dose <= 1:
            yield f"`doses` must lie in [0, 1], got {dose}."
    if "none" not in grid.mitigations:
        yield f"`mitigations` must hold `none`, with which the others are compared, got {grid.mitigations}."
    for name in ("seeds", "doses"):
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
        attempts.append(("lexicon", lambda: load_lexicon(config.mitigation.lexicon)))
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
    for name in ("training_rows", "batch_size", "epochs", "learning_rate", "max_length", "workers", "hidden_size"):
        if values[name] <= 0:
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


def _unknown_key(word: str, known: list[str]) -> str:
    key = word.removeprefix("--").split("=")[0]
    return f"There is no key `{key}`.{_nearest(key, known)}"


def _nearest(value: str, allowed: Iterable[str]) -> str:
    near = difflib.get_close_matches(value, list(allowed), n=1)
    return f" Did you mean `{near[0]}`?" if near else ""


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
