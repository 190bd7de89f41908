"""What a worker process does, whichever engine started it."""

from __future__ import annotations

import gc
import traceback
from dataclasses import replace
from typing import Any

import torch
import wandb

from mitigate.cells import Cell
from mitigate.recipes.cell import base_source, make_task, prepare_process, run_cell
from mitigate.recipes.config import ConfigError, SweepConfig
from mitigate.recipes.grid import cell_id
from mitigate.recipes.records import failed_record
from mitigate.recipes.tasks import Task

_loaded: dict[str, Any] = {}


def train_base_model(config: SweepConfig, seed: int) -> None:
    """
    Train the model that the cells of a seed start from, unless it is there.

    Args:
        config (`SweepConfig`):
            The configuration.
        seed (`int`):
            The seed.

    Raises:
        RuntimeError: If it cannot be trained, with the reason.
    """
    try:
        base_source(config, _task(config), seed)
    except Exception as error:
        traceback.print_exc()
        # Not every exception can be sent to another process, and one that cannot takes its process down.
        raise RuntimeError(f"{type(error).__name__}: {error}") from None


def measure_cell(config: SweepConfig, cell: Cell, name: str) -> dict[str, Any]:
    """
    Train and measure the model of a cell; what goes wrong is in the record.

    Args:
        config (`SweepConfig`):
            The configuration.
        cell (`Cell`):
            The cell.
        name (`str`):
            Id of the cell where the sweep was started. Here it is another if files or versions are.

    Returns:
        `dict`: The record.
    """
    try:
        if cell_id(replace(config), cell) != name:  # a copy, as the configuration remembers what files held
            raise ConfigError(
                "The worker does not see the data files or package versions that the sweep was started with. Leave "
                "the files alone while it runs; on a cluster, install the same versions on every node, and put the "
                "files where every node finds them under the same path."
            )
        record = {**run_cell(config, _task(config), cell), "status": "done"}
        if torch.cuda.is_available():
            # A trainer and its model refer to each other, so they go when the collector comes, and the next model may
            # not fit beside them.
            gc.collect()
            torch.cuda.empty_cache()
        return record
    except Exception as error:  # one cell's failure must not end the sweep; it is recorded and reported
        traceback.print_exc()
        return failed_record(name, cell, f"{type(error).__name__}: {error}")
    finally:
        if wandb.run is not None:
            wandb.finish()


def _task(config: SweepConfig) -> Task:
    """Load the rows once for all cells of the process."""
    if _loaded.get("config") != config:
        prepare_process()
        _loaded.update(config=config, task=make_task(config))
    task: Task = _loaded["task"]
    return task
