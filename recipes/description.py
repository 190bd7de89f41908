"""What a sweep is, in one file of its folder: with it, a report needs nothing else than the folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mitigate.cells import Cell
from mitigate.files import replace_file
from mitigate.grid import TaskDescription
from mitigate.recipes.config import ConfigError, SweepConfig
from mitigate.recipes.grid import cell_id, cells_of, versions
from mitigate.recipes.records import read_record
from mitigate.tasks import load_task

FILE = "sweep.json"


@dataclass(frozen=True)
class Description:
    """
    A sweep, as told by its folder.

    Args:
        title (`str`):
            Title of the report.
        config (`dict`):
            Its configuration, as one flat mapping.
        versions (`dict[str, str]`):
            Version of Python and of each package that its results depend on.
        cells (`list[str]`):
            Names of all cells, in the order of the grid.
        places (`list[dict]`):
            Place of each of these cells in the grid.
        tasks (`dict[str, TaskDescription]`):
            Its tasks.
    """

    title: str
    config: dict[str, Any]
    versions: dict[str, str]
    cells: list[str]
    places: list[dict[str, Any]]
    tasks: dict[str, TaskDescription]


def describe(config: SweepConfig, names: Mapping[str, str]) -> Description:
    """
    Describe a sweep.

    Args:
        config (`SweepConfig`):
            Its configuration.
        names (`Mapping[str, str]`):
            What `bias` and `utility` mean in a sweep of one task; those of many tasks know it themselves.

    Returns:
        `Description`: The description.
    """
    cells = cells_of(config)
    return Description(
        title=config.run.title,
        config=config.as_dict(),
        versions=versions(),
        cells=[cell_id(config, cell) for cell in cells],
        places=[cell._asdict() for cell in cells],
        tasks=_tasks(config.as_dict(), names),
    )


def write_description(folder: Path, description: Description) -> None:
    """
    Write the description of a sweep into its folder, at once, so that it is never half-written.

    Args:
        folder (`Path`):
            Folder of the sweep, which must exist.
        description (`Description`):
            The description.
    """
    replace_file(folder / FILE, json.dumps(asdict(description), indent=1, ensure_ascii=False) + "\n")


def read_description(folder: Path) -> Description:
    """
    Read the description of a sweep.

    Args:
        folder (`Path`):
            Folder of the sweep.

    Returns:
        `Description`: The description.

    Raises:
        ConfigError: If the folder has none, or what it has is none.
    """
    path = folder / FILE
    if not path.is_file():
        raise ConfigError(
            f"'{folder}' is no folder of a sweep: it has no {FILE}. Name the `output_dir` of a sweep. Cells that were "
            "trained one by one, and sweeps of older versions, get the file when a sweep of the same settings is "
            "started, which trains no cell anew."
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        found["tasks"] = {name: TaskDescription(**task) for name, task in found["tasks"].items()}
        description = Description(**found)
        for _, place in zip(description.cells, description.places, strict=True):
            Cell(**place)
        return description
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"'{path}' is no description of a sweep ({type(error).__name__}: {error}). Start the sweep again, which "
            "writes it anew."
        ) from error


def described_records(folder: Path, description: Description) -> Iterator[dict[str, Any]]:
    """
    Read the records of a sweep.

    Args:
        folder (`Path`):
            Folder of the sweep.
        description (`Description`):
            Its description.

    Yields:
        `dict`: The record of each cell, in the order of the grid, see [`read_record`]; of a cell without one its
        place, with the status `"missing"`.
    """
    for name, place in zip(description.cells, description.places, strict=True):
        missing = {"cell_id": name, "cell": place, "status": "missing"}
        yield read_record(folder / "cells" / f"{name}.json", Cell(**place)) or missing


def _tasks(config: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, TaskDescription]:
    if config["task"] != "tasks":
        return {config["task"]: TaskDescription(related=True, labels=dict(names))}
    described = {}
    for name in config["tasks"]:
        task = load_task(name)
        related = config["attribute"] in task.related_to
        relation = task.relation if related else "none"  # a task may be related to another attribute
        described[name] = TaskDescription(related, relation, dict(task.metric_names))
    return described
