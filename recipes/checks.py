"""What is wrong with a configuration, told before any training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mitigate.alignment import get_discrepancy
from mitigate.augment.bias_types import ATTRIBUTES
from mitigate.cells import ALL_TYPES
from mitigate.columns import FORMATS
from mitigate.lexicons import load_lexicon
from mitigate.mixing import bias_counts
from mitigate.recipes.arguments import (
    BIAS_TYPES,
    ITEM_SUFFIXES,
    JOBS,
    MITIGATIONS,
    TRACKERS,
    DataArguments,
    TaskArguments,
)
from mitigate.spelling import did_you_mean
from mitigate.tags import check_tagging
from mitigate.tasks import TASKS

if TYPE_CHECKING:
    from mitigate.recipes.config import SweepConfig


def check_config(config: SweepConfig) -> list[str]:
    """
    Look for what cannot be run.

    Args:
        config (`SweepConfig`):
            The configuration.

    Returns:
        `list[str]`: One sentence for each problem.
    """
    checks = [_check_grid, _check_names, _check_numbers, _check_places, _check_table, _check_tasks]
    return [problem for check in checks for problem in check(config)]


def _check_grid(config: SweepConfig) -> Iterator[str]:
    grid, rows = config.grid, config.fit.training_rows
    drawn: dict[int, float] = {}
    for ratio in grid.bias_ratios:
        try:
            real, augmented = bias_counts(rows, ratio)
        except ValueError as error:
            yield f"`bias_ratios`: {error}"
            continue
        if rows > 1 and ((ratio > 0 and augmented == 0) or real == 0):
            yield (
                f"`bias_ratios`: {ratio} of {rows} rows is {augmented} augmented and {real} real rows, and a mix has "
                "both. Take another ratio, or raise `training_rows`."
            )
        elif drawn.setdefault(augmented, ratio) != ratio:
            yield f"`bias_ratios`: {drawn[augmented]} and {ratio} of {rows} rows are both {augmented} augmented ones."
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
        "task": ([config.grid.task], ("world", "table", "tasks")),
        "bias_types": (config.grid.bias_types, (ALL_TYPES, *BIAS_TYPES)),
        "mitigations": (config.grid.mitigations, MITIGATIONS),
        "null_mitigations": (config.grid.null_mitigations, MITIGATIONS),
        "architecture": ([config.model.architecture], ("causal", "classification")),
        "report_to": ([config.run.report_to], TRACKERS),
        "engine": ([config.run.engine], ("local", "ray")),
    }
    for field_name, (values, allowed) in choices.items():
        for value in values:
            if value not in allowed:
                yield f"`{field_name}`: '{value}' is none of {', '.join(allowed)}.{did_you_mean(value, allowed)}"
    if config.run.report_to in ("tensorboard", "trackio") and find_spec(config.run.report_to) is None:
        tracker = config.run.report_to
        yield f"`report_to`: '{tracker}' is not installed. Run `pip install {tracker}`, or set `report_to: none`."
    used = {*config.grid.mitigations, *config.grid.null_mitigations}
    attempts: list[tuple[str, Callable[[], object]]] = []
    if used & {"loss", "loss-shuffled"}:
        attempts.append(("discrepancy", lambda: get_discrepancy(config.mitigation.discrepancy)))
    if used & {"mask", "mask-shuffled", "mask-random"} and config.grid.task != "world":
        # Files are looked for when the rows are loaded, as those of the rows are.
        names = [name for name in config.mitigation.lexicon if not name.endswith(".txt")]
        attempts += [("lexicon", partial(load_lexicon, name)) for name in names]
    for field_name, attempt in attempts:
        try:
            attempt()
        except (ValueError, OSError) as error:
            yield f"`{field_name}`: {error}"
    model = config.model.model
    if config.model.model_revision is not None and (model is None or Path(model).is_dir()):
        yield f"`model_revision` is of a model of the Hub, and `model` is {'a folder' if model else 'not given'}."
    classify = config.model.architecture == "classification"
    if classify and used & {"token-paired", "token-paired-shuffled"}:
        yield "`mitigations`: 'token-paired' needs a prompt to put the real tag in, so `architecture: causal`."
    if classify and used & {"token", "token-shuffled"} and config.mitigation.tag_position == "answer":
        yield "`tag_position`: a classifier has no answer for the tag to precede; set it to `start`."


def _check_numbers(config: SweepConfig) -> Iterator[str]:
    values = config.as_dict()
    positive = (
        "training_rows",
        "batch_size",
        "gradient_accumulation_steps",
        "epochs",
        "learning_rate",
        "max_length",
        "lora_rank",
    )
    places = ("workers", "workers_per_device", "cpus_per_cell")
    scratch = ("hidden_size", "layers", "vocabulary_size", "base_epochs", "base_learning_rate", "base_batch_size")
    for name in (*positive, *places, *scratch):
        if values[name] is not None and not 0 < values[name] < math.inf:
            yield f"`{name}` must be greater than 0, got {values[name]}."
    parts = config.fit.gradient_accumulation_steps
    if parts > 0 and config.fit.batch_size % parts:
        yield (
            f"`batch_size` must be a multiple of `gradient_accumulation_steps`, which splits it, got "
            f"{config.fit.batch_size} and {parts}."
        )
    for seed in config.grid.seeds:
        if not 0 <= seed < 2**32:
            yield f"`seeds` must lie in [0, 2**32), got {seed}."
    width = config.model.hidden_size
    if config.model.model is None and width > 0 and width % (16 if width > 16 else 2):
        yield f"`hidden_size` must be a multiple of 16, as each attention head has 16, got {width}."
    for name in ("loss_weight", "gpus_per_cell", "max_retries", "price_per_hour", "seconds_per_cell"):
        if values[name] is not None and not 0 <= values[name] < math.inf:
            yield f"`{name}` must be at least 0, got {values[name]}."
    if not 0 <= values["augmented_weight"] < 1:
        yield f"`augmented_weight` must lie in [0, 1), as real rows have 1, got {values['augmented_weight']}."
    try:
        check_tagging(values["tag_position"], values["tag_dropout"])
    except ValueError as error:
        yield f"`tag_position`, `tag_dropout`: {error}"


def _check_places(config: SweepConfig) -> Iterator[str]:
    output = Path(config.run.output_dir)
    nearest_there = next((path for path in (output, *output.parents) if path.exists()), None)
    if nearest_there is not None and not nearest_there.is_dir():
        yield f"`output_dir` must be a folder, and {nearest_there} is a file."
    if (config.run.gpus_per_cell or 0) > 1:
        yield (
            f"`gpus_per_cell` must be at most 1, as a cell of a sweep trains in one process on one GPU, got "
            f"{config.run.gpus_per_cell:g}. A model that needs more is trained by recipes/train.py (docs/recipes.md)."
        )
    if config.run.engine == "ray" and find_spec("ray") is None:
        yield "`engine: ray` needs Ray, which is not installed here: pip install 'mitigate[ray]'"


def _check_table(config: SweepConfig) -> Iterator[str]:
    if config.grid.task != "table":
        return
    data = config.data
    for name in ("real_file", "test_file"):
        if getattr(data, name) is None:
            yield f"`{name}` is missing: `task: table` needs files of real and of test rows."
    yield from _check_columns(config)
    opinions = data.distribution_column is not None
    if opinions != (data.options_column is not None):
        yield "`options_column` and `distribution_column` go together."
    if not opinions and not (data.label_column and data.group_column and data.stereotypes):
        yield "`label_column`, `group_column` and `stereotypes` are needed for the TPR gap."
    for entry in data.stereotypes:
        if entry.count("=") != 1:
            yield f"`stereotypes`: '{entry}' is not of the form label=group."
    labels = Counter(entry.partition("=")[0].strip() for entry in data.stereotypes)
    twice = [label for label, entries in labels.items() if entries > 1]
    if twice:
        yield f"`stereotypes`: '{twice[0]}' has several groups. Keep the one that it is tied to."
    if config.model.architecture == "classification" and (opinions or not data.text_column):
        yield "`architecture: classification` needs `text_column` and `label_column`."


def _check_columns(config: SweepConfig) -> Iterator[str]:
    data = config.data
    if (data.text_column is None) == (data.prompt_column is None):
        yield "Name either `text_column` or `prompt_column`, the column that holds what the model reads."
    if data.prompt_column and not data.completion_column:
        yield "`prompt_column` needs `completion_column`, the column of the answer."
    if "balanced" in {*config.grid.mitigations, *config.grid.null_mitigations} and not data.group_column:
        yield "`group_column` is needed for 'balanced', which draws rows by their groups."


def _check_tasks(config: SweepConfig) -> Iterator[str]:
    grid, tasks = config.grid, config.tasks
    if grid.task == "world":
        if config.mitigation.twin_pairs:
            yield f"`twin_pairs`: the testbed has pairs of its own; leave it out, got {config.mitigation.twin_pairs}."
        for name, value in _set_values(config.data, DataArguments()):
            yield f"`{name}`: the testbed makes its own rows; set `task: table` or `task: tasks`, got {value}."
    if grid.task != "tasks":
        if grid.bias_types != [ALL_TYPES]:
            yield f"`bias_types`: the rows of `task: {grid.task}` have none; leave it at [all], got {grid.bias_types}."
        for name, value in _set_values(tasks, TaskArguments()):
            yield f"`{name}` is for `task: tasks`, got {value} with `task: {grid.task}`."
        return
    if not tasks.tasks or len(set(tasks.tasks)) < len(tasks.tasks):
        yield f"`tasks` must hold at least one task and none twice, got {tasks.tasks} (available: {', '.join(TASKS)})."
    for task in tasks.tasks:
        if task not in TASKS:
            yield f"`tasks`: '{task}' is none of {', '.join(TASKS)}.{did_you_mean(task, TASKS)}"
    if tasks.attribute not in ATTRIBUTES:
        yield f"`attribute` must be {' or '.join(ATTRIBUTES)}, whose bias is studied, got {tasks.attribute}."
    if tasks.max_items is not None and tasks.max_items < 1:
        yield f"`max_items` must be greater than 0, got {tasks.max_items}."
    if tasks.eval_batch_size < 1:
        yield f"`eval_batch_size` must be greater than 0, got {tasks.eval_batch_size}."
    if config.model.architecture == "classification":
        yield "`architecture`: a classifier can answer none of the tasks; set it to `causal`."
    if grid.doses != [1]:
        yield f"`doses` must be [1] with `task: tasks`, whose rows are taken as they were written, got {grid.doses}."
    yield from _check_rows_of_tasks(config)
    if tasks.items_dir is not None:
        yield from _check_items(Path(tasks.items_dir))


def _set_values(arguments: DataArguments | TaskArguments, unset: object) -> Iterator[tuple[str, object]]:
    for name, value in asdict(arguments).items():
        if value != getattr(unset, name):
            yield name, value


def _check_items(folder: Path) -> Iterator[str]:
    """Find files that would be passed over, and the tasks' own sets be taken in their place."""
    if not folder.is_dir():
        yield f"`items_dir`: there is no folder {folder}."
        return
    known = (*TASKS, JOBS)
    files = sorted(path for path in folder.glob("*.*") if path.suffix in FORMATS or path.name.split(".")[0] in known)
    if not files:
        yield f"`items_dir`: {folder} holds no `<task>.jsonl` or `<task>.csv`."
    for path in files:
        if path.stem not in known or path.suffix not in ITEM_SUFFIXES:
            yield f"`items_dir`: {path} is not `<task>.jsonl` or `<task>.csv`.{did_you_mean(path.stem, known)}"


def _check_rows_of_tasks(config: SweepConfig) -> Iterator[str]:
    data, tasks = config.data, config.tasks
    if data.test_file is not None:
        yield "`test_file` is not read with `task: tasks`, whose tasks have items of their own (`items_dir`)."
    twin_pairs, used = config.mitigation.twin_pairs, {*config.grid.mitigations, *config.grid.null_mitigations}
    own = {"real_file": data.real_file, "augmented_file": data.augmented_file}
    own |= {"items_dir": tasks.items_dir, "twin_pairs": twin_pairs}
    if tasks.made_up_rows:
        for name, value in own.items():
            if value is not None:
                yield f"`{name}` is not read with `made_up_rows`; leave out one of the two, got {value}."
        return
    if data.real_file is None:
        yield "`real_file` is missing: `task: tasks` needs a file of real rows, or `made_up_rows: true`."
    if tasks.attribute == "culture" and "cda" in used and twin_pairs is None:
        yield (
            "`twin_pairs` is missing: without it, 'cda' swaps the words of women and men. With `attribute: culture`, "
            "give a file of pairs of words of two cultures (docs/baselines.md), or leave 'cda' out of `mitigations`."
        )
    yield from _check_columns(config)
