"""The fields of a sweep's configuration, with their defaults and help texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mitigate.augment.bias_types import ATTRIBUTES, AXES
from mitigate.tasks import TASKS

# `drop`, `repeat` and `add` are other arms of the mix (mitigate.arms), for comparison with `none`, which is `replace`.
# `down-weight`, `balanced` and `cda` are baselines, which a mitigation has to beat (docs/baselines.md). A "-shuffled"
# arm is the control of the one before: the same mitigation acting on rows drawn at random. `mask-random` is another
# control: as many other words of augmented rows are masked.
MITIGATIONS = (
    "none",
    "drop",
    "repeat",
    "add",
    "down-weight",
    "balanced",
    "cda",
    "token",
    "token-shuffled",
    "token-paired",
    "token-paired-shuffled",
    "mask",
    "mask-shuffled",
    "mask-random",
    "loss",
    "loss-shuffled",
)
# The levels of the three axes; every row has one of each axis, so that it is of three types.
BIAS_TYPES = tuple(level for levels in AXES.values() for level in levels)

# Names of the files in a folder of items: by task, and of the jobs that several tasks are about.
ITEM_SUFFIXES = (".jsonl", ".csv")
JOBS = "jobs"

TRACKERS = ("wandb", "tensorboard", "trackio", "none")


def _option(default: Any, help: str) -> Any:
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"help": help})
    return field(default=default, metadata={"help": help})


@dataclass
class GridArguments:
    """The cells of the sweep."""

    task: str = _option(
        "world", "What is trained and measured: `world` (the controlled testbed), `table` or `tasks` (your rows)."
    )
    bias_ratios: list[float] = _option([0.0, 0.25, 0.5, 0.75], "Bias ratios ρ in [0, 1); 0 must be among them.")
    doses: list[float] = _option([1.0], "Bias doses β in [-1, 1] of the augmented rows.")
    bias_types: list[str] = _option(
        ["all"], f"Bias types of the augmented rows, with `task: tasks`: `all`, {', '.join(BIAS_TYPES)}."
    )
    mitigations: list[str] = _option(["none"], f"Any of {', '.join(MITIGATIONS)}; `none` must be among them.")
    null_mitigations: list[str] = _option(["none"], "Mitigations that are run at dose 0, the null arm.")
    seeds: list[int] = _option([0, 1, 2, 3, 4], "Seeds: of the draw of rows, of the base model and of training.")


@dataclass
class CellArguments:
    """The cell of the sweep that is trained alone."""

    mitigation: str = _option("none", "Its mitigation, one of `mitigations`.")
    bias_ratio: float = _option(0.0, "Its bias ratio, one of `bias_ratios`.")
    dose: float = _option(1.0, "Its bias dose, one of `doses`.")
    bias_type: str = _option("all", "Its bias type, one of `bias_types`.")
    seed: int = _option(0, "Its seed, one of `seeds`.")


@dataclass
class MitigationArguments:
    """How the mitigations are set."""

    lexicon: list[str] = _option(["gender"], "Sensitive words to mask: names of lexicons, or paths of word lists.")
    discrepancy: str = _option("mean", "Of the alignment loss: mean, coral, mmd, energy or sliced_wasserstein.")
    loss_weight: float = _option(1.0, "Weight of the alignment loss.")
    tag_position: str = _option("answer", "Where the tag goes: start (of the text) or answer (right before it).")
    tag_dropout: float = _option(0.0, "Share of rows that stay without their tag, in [0, 1).")
    augmented_weight: float = _option(0.5, "Weight of augmented rows in the loss with `down-weight`, in [0, 1).")
    twin_pairs: str | None = _option(
        None, "Words that `cda` swaps instead of those of gender: path of a file of pairs (docs/baselines.md)."
    )


@dataclass
class ModelArguments:
    """The model that every cell starts from."""

    model: str | None = _option(
        None, "Hub id or folder of the model. Without one, a small one is trained from scratch."
    )
    model_revision: str | None = _option(None, "Branch, tag or commit of the Hub model; by default its main branch.")
    architecture: str = _option("causal", "`causal` (language model, TRL's SFTTrainer) or `classification` (Trainer).")
    lora: bool = _option(False, "Train LoRA adapters instead of all weights.")
    lora_rank: int = _option(16, "Rank of the adapters.")
    hidden_size: int = _option(64, "Width of the model trained from scratch.")
    layers: int = _option(2, "Layers of the model trained from scratch.")
    vocabulary_size: int = _option(4000, "Tokens of the vocabulary trained from scratch on the rows of a table.")
    base_epochs: float = _option(6.0, "Epochs in which the model is trained from scratch.")
    base_learning_rate: float = _option(3e-3, "Its learning rate.")
    base_batch_size: int = _option(64, "Rows in a batch of its training.")
    trust_remote_code: bool = _option(False, "Run code that comes with the model.")


@dataclass
class FitArguments:
    """How the model of a cell is fine-tuned; the same for all cells."""

    training_rows: int = _option(600, "Rows of the training mix, real and augmented together.")
    epochs: float = _option(4.0, "Epochs.")
    learning_rate: float = _option(2e-3, "Learning rate.")
    batch_size: int = _option(32, "Rows in an optimizer step, of all processes together.")
    gradient_accumulation_steps: int = _option(
        1, "Parts of a batch, one after another: less memory, but the loss term then compares the rows of a part."
    )
    activation_checkpointing: bool = _option(
        False, "Compute activations again in the backward pass: much less memory, about a third more time."
    )
    max_length: int = _option(512, "Tokens after which a row is cut.")


@dataclass
class DataArguments:
    """Where the rows of a table are, and which column is what."""

    real_file: str | None = _option(None, "CSV, TSV, JSONL or Parquet file, or Hub id, of real rows.")
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
class TaskArguments:
    """The downstream tasks that every model is measured on, with `task: tasks`."""

    tasks: list[str] = _option([], f"Any of {', '.join(TASKS)}.")
    attribute: str | None = _option(
        None, f"Whose bias is studied: {' or '.join(ATTRIBUTES)}. Tasks that it does not touch are controls."
    )
    items_dir: str | None = _option(
        None, "Folder of items, `<task>.jsonl` or `<task>.csv`; a task without a file loads its default source."
    )
    max_items: int | None = _option(None, "Items of a task at most, drawn evenly over its groups and labels.")
    eval_batch_size: int = _option(16, "Prompts in a batch.")
    made_up_rows: bool = _option(False, "Write made-up rows and items into `output_dir`, and use them.")


@dataclass
class RunArguments:
    """Where and how the sweep runs. None of it changes a result."""

    output_dir: str = _option("outputs/sweep", "Folder of the results.")
    engine: str = _option("local", "Who runs the cells: `local` (processes of this machine) or `ray`.")
    workers: int | None = _option(
        None,
        "Local: processes at most, each of which trains one cell at a time. By default 2, or with GPUs as many as "
        "`workers_per_device` allows.",
    )
    workers_per_device: int = _option(1, "Local, with GPUs: such processes for each GPU.")
    ray_address: str | None = _option(
        None, "Ray: address of a cluster, or `auto`. By default $RAY_ADDRESS, or else this machine alone."
    )
    cpus_per_cell: float = _option(1.0, "Ray: cores that a cell takes.")
    gpus_per_cell: float | None = _option(
        None, "Ray: GPUs that a cell takes, as 0.25 for four cells on each. By default 1 where the cluster has any."
    )
    max_retries: int = _option(3, "Ray: how often a cell is tried again whose process or machine was lost.")
    dry_run: bool = _option(False, "List the cells, the time and the cost, and train nothing.")
    seconds_per_cell: float | None = _option(
        None, "Your guess of the seconds that a cell takes, for the time and the cost as long as none is done."
    )
    price_per_hour: float | None = _option(None, "Price of a machine for one hour, for the cost.")
    title: str = _option("Bias inheritance", "Title of the report.")
    report_to: str = _option(
        "wandb", "Tracker: `wandb` (offline unless you are logged in), `tensorboard`, `trackio` (local) or `none`."
    )
    project: str = _option("mitigate", "Project in W&B or Trackio.")


@dataclass
class AugmentArguments:
    """What an LLM is asked to write, who writes it, and where the rows go."""

    seed_file: str | None = _option(None, "CSV or JSONL file, or Hub id, of the rows to start from.")
    id_column: str = _option("id", "Column of their ids, each of which comes once.")
    text_column: str = _option("text", "Column of their texts.")
    label_column: str | None = _option(None, "Column of their labels, which the new rows take over.")
    output_dir: str = _option("outputs/augment", "Folder of the rows and of the journal of answers.")

    contexts: list[str] = _option(["contextless", "contextual"], "Levels of the axis context.")
    scopes: list[str] = _option(["single", "intersectional"], "Levels of the axis scope.")
    signals: list[str] = _option(["explicit", "implicit"], "Levels of the axis signal.")
    attributes: list[str] = _option(["gender", "culture"], "Attributes that vary alone, in single types.")
    genders: list[str] = _option(["woman", "man"], "Genders.")
    cultures: list[str] = _option(
        ["Arab", "Chinese", "English", "Spanish"], "Cultures; German, Korean, Portuguese and Turkish are there too."
    )
    task: str | None = _option(None, "What to write. `$label` stands for the label of the seed.")
    repeats: int = _option(1, "Texts for the same seed, type and group.")
    aligned: str | None = _option(
        None, "The pre-aligned arm: `prompt` (an instruction against bias before every prompt), or another model."
    )

    model: str | None = _option(None, "Hub id or folder of the model that writes, or its name at the endpoint.")
    endpoint: str | None = _option(
        None,
        "Address of an OpenAI-compatible endpoint, as http://localhost:8000/v1. Without one, this machine writes.",
    )
    temperature: float = _option(1.0, "Temperature, at least 0.")
    top_p: float = _option(1.0, "Probability mass to draw from, in (0, 1].")
    max_tokens: int = _option(256, "Tokens after which a text is cut off, and rejected.")
    seed: int = _option(0, "Seed; every request has one of its own that follows from it.")

    batch_size: int = _option(16, "On this machine: texts at a time.")
    trust_remote_code: bool = _option(False, "On this machine: run code that comes with the model.")
    concurrency: int = _option(8, "At an endpoint: requests at a time.")
    requests_per_minute: float | None = _option(None, "At an endpoint: most requests a minute.")
    timeout: float = _option(120.0, "At an endpoint: seconds to wait for an answer.")
    max_retries: int = _option(8, "At an endpoint: how often a request is tried again.")
    price_prompt: float = _option(0.0, "Price of a million tokens of prompts, to count the cost.")
    price_completion: float = _option(0.0, "Price of a million tokens of answers.")

    min_words: int = _option(5, "Words below which a text is rejected.")
    max_words: int = _option(300, "Words above which a text is rejected.")
