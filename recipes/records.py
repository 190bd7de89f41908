"""The result files of a sweep, one for each cell."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mitigate.cells import REQUIRED, Cell
from mitigate.files import replace_file
from mitigate.recipes.config import SweepConfig
from mitigate.recipes.grid import cell_id, cells_of


def records_folder(config: SweepConfig) -> Path:
    """
    Tell where the records of a sweep are.

    Args:
        config (`SweepConfig`):
            The configuration.

    Returns:
        `Path`: The folder.
    """
    return Path(config.run.output_dir) / "cells"


def record_path(config: SweepConfig, cell: Cell) -> Path:
    """
    Tell where the record of a cell is, or will be.

    Args:
        config (`SweepConfig`):
            The configuration.
        cell (`Cell`):
            One of its cells.

    Returns:
        `Path`: The file.
    """
    return records_folder(config) / f"{cell_id(config, cell)}.json"


def read_record(path: Path, cell: Cell) -> dict[str, Any] | None:
    """
    Read the record of a cell.

    Args:
        path (`Path`):
            Its file.
        cell (`Cell`):
            The cell.

    Returns:
        `dict` or `None`: The record; `None` if there is none. Of a file that cannot be read, as after a power cut, or
        is no record of the cell, one whose status names the file and what is wrong with it: the cell has no result.
    """
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        _check(record, cell)
    except (OSError, ValueError) as error:
        problem = "no JSON" if isinstance(error, json.JSONDecodeError) else str(error)
        record = {"cell_id": path.stem, "status": f"unreadable: {path.parent.name}/{path.name}, {problem}"}
    return {**record, "cell": cell._asdict()}


def read_records(config: SweepConfig) -> Iterator[dict[str, Any]]:
    """
    Read the records of the cells that were run.

    Args:
        config (`SweepConfig`):
            The configuration.

    Yields:
        `dict`: The record of each cell that has one, in the order of the grid; see [`read_record`].
    """
    for cell in cells_of(config):
        record = read_record(record_path(config, cell), cell)
        if record is not None:
            yield record


def failed_record(name: str, cell: Cell, error: str) -> dict[str, Any]:
    """
    Make the record of a cell that has no result.

    Args:
        name (`str`):
            Its id.
        cell (`Cell`):
            The cell.
        error (`str`):
            What happened.

    Returns:
        `dict`: The record.
    """
    return {"cell_id": name, "cell": cell._asdict(), "status": "failed", "error": error}


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """
    Write the record of a cell at once, so that none is ever half-written.

    Args:
        folder (`Path`):
            Folder of the records.
        record (`dict`):
            The record.
    """
    text = json.dumps(record, indent=1, ensure_ascii=False, sort_keys=True)
    replace_file(folder / f"{record['cell_id']}.json", text)


def _check(record: Any, cell: Cell) -> None:
    """Refuse what a report could not do anything with; a task that lacks a number is the analysis's to tell."""
    if not isinstance(record, Mapping):
        raise ValueError("no JSON object")
    place = record.get("cell")
    if not isinstance(place, Mapping) or {**cell._asdict(), **place} != cell._asdict():
        raise ValueError("its `cell` is not the one that its name stands for")
    if not isinstance(record.get("status"), str):
        raise ValueError("it has no `status`")
    if record["status"] == "done":
        _check_result(record)


def _check_result(record: Mapping[str, Any]) -> None:
    tasks, metrics = record.get("tasks"), record.get("metrics")
    if not isinstance(tasks, Mapping) and not isinstance(metrics, Mapping):
        raise ValueError("it has neither `tasks` nor `metrics`")
    if isinstance(tasks, Mapping) and not all(isinstance(found, Mapping) for found in tasks.values()):
        raise ValueError("a result in its `tasks` is no object")
    if isinstance(metrics, Mapping) and not metrics.keys() >= set(REQUIRED):
        raise ValueError(f"its `metrics` lack {' or '.join(REQUIRED)}")
    if "rows" in record:
        rows = record["rows"] if isinstance(record["rows"], Mapping) else {}
        if not all(isinstance(count, int) for count in (rows.get("real"), rows.get("augmented"), record.get("steps"))):
            raise ValueError("its `rows` lack real or augmented rows, or it lacks `steps`")
