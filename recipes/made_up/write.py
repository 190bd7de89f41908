"""Write the files: real rows, augmented rows, and test items of each task."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random

from mitigate.augment.bias_types import ATTRIBUTES, bias_types, check_choices
from mitigate.files import complete_folder
from mitigate.recipes.made_up.biographies import OCCUPATION
from mitigate.recipes.made_up.controls import ARITHMETIC, TOPIC
from mitigate.recipes.made_up.offers import HIRING, SALARY
from mitigate.recipes.made_up.opinions import OPINIONS
from mitigate.recipes.made_up.pairs import culture_pairs
from mitigate.recipes.made_up.posts import ABUSE
from mitigate.recipes.made_up.rows import Row, Teacher
from mitigate.recipes.made_up.setting import Setting
from mitigate.recipes.made_up.stand_ins import JOBS
from mitigate.recipes.made_up.texts import LETTERS, STORIES
from mitigate.tasks.registry import load_task

TEACHERS: Mapping[str, Teacher] = {
    "hiring": HIRING,
    "salary": SALARY,
    "occupation": OCCUPATION,
    "opinions": OPINIONS,
    **ABUSE,
    "letters": LETTERS,
    "stories": STORIES,
    "arithmetic": ARITHMETIC,
    "topics": TOPIC,
}
# About so many rows there are, as whole sets are written.
REAL_ROWS, AUGMENTED_ROWS = 1500, 1000


def write_rows(folder: Path, attribute: str, tasks: Sequence[str], seed: int) -> None:
    """
    Write made-up rows and test items, unless the folder is there.

    `real.jsonl` has the columns `prompt`, `completion` (without the space between the two), `task`, `group` and
    `label` (null where the answers are no closed set); `augmented.jsonl` has `context`, `scope` and `signal` besides,
    in equal numbers of all bias types; `items/<task>.jsonl` has the columns of the task, and `items/jobs.csv` the jobs
    of hiring, salary and letters, with `occupation` and `profile`. For culture, `pairs.tsv` has the words that
    counterfactual twins swap, see [`~mitigate.twins.read_twin_words`].

    Args:
        folder (`Path`):
            Where to write. It appears when all is complete.
        attribute (`str`):
            `"gender"` or `"culture"`: what augmented rows are biased about.
        tasks (`Sequence[str]`):
            Names of tasks.
        seed (`int`):
            Seed of the training rows. Test items are the same for all seeds.

    Raises:
        ValueError: If the attribute or a task is unknown.
    """
    check_choices("attribute", [attribute], ATTRIBUTES)
    check_choices("tasks", tasks, tuple(TEACHERS))
    if folder.is_dir():
        return
    with complete_folder(folder) as unfinished:
        (unfinished / "items").mkdir()
        for task in tasks:
            _write(unfinished / "items" / f"{task}.jsonl", TEACHERS[task].items())
        shutil.copyfile(JOBS.path, unfinished / "items" / "jobs.csv")
        _write(unfinished / "real.jsonl", real_rows(attribute, tasks, seed))
        _write(unfinished / "augmented.jsonl", augmented_rows(attribute, tasks, seed))
        if attribute == "culture":
            lines = "".join(f"{first}\t{second}\n" for first, second in culture_pairs())
            (unfinished / "pairs.tsv").write_text(lines, encoding="utf-8")


def real_rows(attribute: str, tasks: Sequence[str], seed: int) -> list[Row]:
    """
    Make real rows.

    Args:
        attribute (`str`):
            As of [`write_rows`]; real rows are the same for both.
        tasks (`Sequence[str]`):
            Names of tasks.
        seed (`int`):
            Seed.

    Returns:
        `list[dict]`: The rows.
    """
    rows = []
    for task, count in _counts(tasks, REAL_ROWS).items():
        rows += _sets(Setting(task, attribute), count, seed)
    return rows


def augmented_rows(attribute: str, tasks: Sequence[str], seed: int) -> list[Row]:
    """
    Make augmented rows, equally many of each bias type and task.

    Args:
        attribute (`str`):
            As of [`write_rows`].
        tasks (`Sequence[str]`):
            Names of tasks.
        seed (`int`):
            Seed.

    Returns:
        `list[dict]`: The rows.
    """
    rows = []
    types = bias_types()
    for task, count in _counts(tasks, AUGMENTED_ROWS // len(types)).items():
        related = attribute in load_task(task).related_to
        for bias_type in types:
            levels = {"context": bias_type.context, "scope": bias_type.scope, "signal": bias_type.signal}
            rows += [row | levels for row in _sets(Setting(task, attribute, bias_type, related), count, seed)]
    return rows


def _counts(tasks: Sequence[str], total: int) -> dict[str, int]:
    """Share rows out over tasks by weight, in multiples of 4, which two or four groups divide."""
    weights = {task: TEACHERS[task].weight for task in tasks}
    return {task: 4 * max(1, round(total * weight / sum(weights.values()) / 4)) for task, weight in weights.items()}


def _sets(setting: Setting, count: int, seed: int) -> list[Row]:
    kind = setting.bias_type.name if setting.bias_type else "real"
    rows: list[Row] = []
    number = 0
    while len(rows) < count:
        draw = Random(f"{seed}-{setting.attribute}-{setting.task}-{kind}-{number}")
        rows += [row | {"task": setting.task} for row in TEACHERS[setting.task].rows(setting, number, draw)]
        number += 1
    return rows


def _write(file: Path, rows: Iterable[Row]) -> None:
    with file.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
