"""The result files of a sweep, one for each cell."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mitigate.cells import Cell
from mitigate.files import replace_file
from mitigate.recipes.config import SweepConfig
from mitigate.recipes.grid import cell_id, cells_of

logger = logging.getLogger(__name__)


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


def read_record(path: Path) -> dict[str, Any] | None:
    """
    Read the record of a cell.

    Args:
        path (`Path`):
            Its file.

    Returns:
        `dict` or `None`: The record; `None` if there is none, or if the file holds none, as after a power cut: then
        the cell is to be run again.
    """
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        record = None
    if isinstance(record, dict) and "status" in record:
        return record
    logger.warning("%s holds no record of a cell, which therefore counts as missing.", path)
    return None


def read_records(config: SweepConfig) -> Iterator[dict[str, Any]]:
    """
    Read the records of the cells that were run.

    Args:
        config (`SweepConfig`):
            The configuration.

    Yields:
        `dict`: The record of each cell that has one, in the order of the grid.
    """
    for cell in cells_of(config):
        record = read_record(record_path(config, cell))
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
