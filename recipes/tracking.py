"""The run of a cell in a tracker: W&B, TensorBoard or Trackio. Rows of data are sent to none of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import wandb

from mitigate.cells import ALL_TYPES, Cell
from mitigate.recipes.arguments import RunArguments
from mitigate.recipes.config import SweepConfig
from mitigate.recipes.grid import cell_id, cell_settings, digest, run_name

# transformers' callback reads it when a trainer is made.
_TENSORBOARD = "TENSORBOARD_LOGGING_DIR"
_COLUMNS = ("task", "bias", "bias_low", "bias_high", "utility", "unparsed", "refused")


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


def sweep_tag(config: Mapping[str, Any]) -> str:
    """
    Name a sweep, so that a tracker can tell its runs from those of other sweeps of a project.

    Args:
        config (`Mapping[str, Any]`):
            The configuration as one flat mapping.

    Returns:
        `str`: Name of its folder and a digest of all settings that change a result, 64 characters at most.
    """
    execution = RunArguments.__dataclass_fields__
    settings = {name: value for name, value in config.items() if name not in execution}
    return f"{Path(config['output_dir']).name[:50]}-{digest(settings)[:8]}"


def tracked(config: SweepConfig, cell: Cell, *, really: bool = True) -> AbstractContextManager[Any]:
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
    if not really or config.run.report_to in ("none", "trackio"):
        return nullcontext()  # Trackio's run is opened by the trainer, by the name of the cell
    if config.run.report_to == "tensorboard":
        return _tensorboard_folder(_tensorboard_path(config, cell))
    tag = sweep_tag(config.as_dict())
    kind = "" if cell.bias_type == ALL_TYPES else f" {cell.bias_type}"
    return wandb.init(
        project=config.run.project,
        dir=config.run.output_dir,
        # A cell that was killed and is run again continues under one id once it is synchronised.
        id=cell_id(config, cell),
        name=str(cell),
        group=f"{config.grid.task} ρ={cell.bias_ratio:g} β={cell.dose:g} {cell.mitigation}{kind}",
        job_type="train",
        tags=[config.grid.task, cell.mitigation, tag],
        config={**cell._asdict(), **cell_settings(config, cell), "sweep": tag},
        settings=wandb.Settings(silent=True, console="off"),
        reinit="finish_previous",
    )


def log_measured(config: SweepConfig, cell: Cell, measured: Mapping[str, Any]) -> None:
    """
    Send what was measured to the tracker: all metrics, and in W&B a table with a row for each task.

    Args:
        config (`SweepConfig`):
            The configuration.
        cell (`Cell`):
            The cell.
        measured (`Mapping[str, Any]`):
            Metrics under `metrics`, or under `tasks` those of each task.
    """
    named = {f"{task}/{name}": value for task, own in measured.get("tasks", {}).items() for name, value in own.items()}
    summary = {name: value for name, value in {**measured.get("metrics", {}), **named}.items() if value is not None}
    if config.run.report_to == "wandb" and wandb.run is not None:
        wandb.run.summary.update(summary)
        wandb.run.log({"results": _table(config, measured)})
    elif config.run.report_to == "tensorboard":
        _log_to_tensorboard(config, cell, summary)
    elif config.run.report_to == "trackio":
        _log_to_trackio(config, cell, summary)


def _table(config: SweepConfig, measured: Mapping[str, Any]) -> wandb.Table:
    by_task = measured.get("tasks") or {config.grid.task: measured["metrics"]}
    rows = []
    for task, metrics in by_task.items():
        shares = {name: _weighted(metrics, name) for name in ("unparsed", "refused")}
        rows.append([task, *({**metrics, **shares}.get(name) for name in _COLUMNS[1:])])
    return wandb.Table(columns=list(_COLUMNS), data=rows)


def _weighted(metrics: Mapping[str, Any], name: str) -> float | None:
    """Average a share over groups, by their answers."""
    groups = [key.partition("/")[2] for key in metrics if key.startswith(f"{name}/")]
    answers = sum(metrics[f"n/{group}"] for group in groups)
    return sum(metrics[f"{name}/{group}"] * metrics[f"n/{group}"] for group in groups) / answers if answers else None


def _tensorboard_path(config: SweepConfig, cell: Cell) -> Path:
    return Path(config.run.output_dir) / "tensorboard" / cell_id(config, cell)


@contextmanager
def _tensorboard_folder(path: Path) -> Iterator[None]:
    before = os.environ.get(_TENSORBOARD)
    os.environ[_TENSORBOARD] = str(path)
    try:
        yield
    finally:
        os.environ.pop(_TENSORBOARD)
        if before is not None:
            os.environ[_TENSORBOARD] = before


def _log_to_tensorboard(config: SweepConfig, cell: Cell, summary: Mapping[str, float]) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(_tensorboard_path(config, cell))) as writer:
        hparams = {**cell._asdict(), "sweep": sweep_tag(config.as_dict())}
        writer.add_hparams(hparams, dict(summary), run_name=".")


def _log_to_trackio(config: SweepConfig, cell: Cell, summary: Mapping[str, float]) -> None:
    import trackio

    # The trainer has closed the run that it opened by this name; both are the same run.
    settings = {**cell._asdict(), "sweep": sweep_tag(config.as_dict())}
    trackio.init(project=config.run.project, name=run_name(config, cell), config=settings, resume="allow", embed=False)
    trackio.log(dict(summary))
    trackio.finish()  # type: ignore[no-untyped-call]
