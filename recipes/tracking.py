"""The W&B run of a cell."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import Any

import wandb

from mitigate.cells import Cell
from mitigate.recipes.config import SweepConfig
from mitigate.recipes.grid import cell_id


def choose_tracking(config: SweepConfig) -> None:
    """
    Keep W&B from asking for an account: without one, runs are written to disk.

    Args:
        config (`SweepConfig`):
            The configuration.
    """
    if config.run.report_to == "wandb" and "WANDB_MODE" not in os.environ and not wandb.login(prompt=False):
        os.environ["WANDB_MODE"] = "offline"
    os.environ.setdefault("WANDB_SILENT", "true")


def tracked(config: SweepConfig, cell: Cell, *, really: bool = True) -> Any:
    """
    Open the run of a cell.

    Args:
        config (`SweepConfig`):
            The configuration.
        cell (`Cell`):
            The cell.
        really (`bool`, *optional*, defaults to `True`):
            Whether to track: of several processes the first one does.

    Returns:
        A context, in which training is tracked if the configuration says so.
    """
    if config.run.report_to == "none" or not really:
        return nullcontext()
    return wandb.init(
        project=config.run.project,
        dir=config.run.output_dir,
        # A cell that was killed and is run again continues under one id once it is synchronised.
        id=cell_id(config, cell),
        name=str(cell),
        group=f"{config.grid.task} ρ={cell.bias_ratio:g} β={cell.dose:g} {cell.mitigation}",
        job_type="train",
        tags=[config.grid.task, cell.mitigation],
        config={**cell._asdict(), **config.settings},
        settings=wandb.Settings(silent=True, console="off"),
        reinit="finish_previous",
    )


def log_measured(measured: dict[str, Any]) -> None:
    """
    Put what was measured into the summary of the run, if there is one.

    Args:
        measured (`dict`):
            Metrics under `metrics`, or under `tasks` those of each task.
    """
    if wandb.run is None:
        return
    named = {f"{task}/{name}": value for task, own in measured.get("tasks", {}).items() for name, value in own.items()}
    summary = {**measured.get("metrics", {}), **named}
    wandb.run.summary.update({name: value for name, value in summary.items() if value is not None})
