"""Hand the report of a sweep to W&B, or keep it on disk where there is no account."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wandb

from mitigate.files import replace_file
from mitigate.grid import GridAnalysis
from mitigate.recipes.config import ConfigError
from mitigate.recipes.description import Description
from mitigate.recipes.tracking import sweep_tag

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace


def publish_report(folder: Path, description: Description, grid: GridAnalysis, place: str) -> int:
    """
    Build the W&B Report of a sweep and a saved view, keep both as JSON, and send them if there is an account.

    Args:
        folder (`Path`):
            Folder of the sweep.
        description (`Description`):
            Its description.
        grid (`GridAnalysis`):
            Its analysis.
        place (`str`):
            `ENTITY/PROJECT`.

    Returns:
        `int`: 0; 1 if W&B did not take it.

    Raises:
        ConfigError: If the place is not of that form, or wandb-workspaces is not installed.
    """
    entity, project = read_place(place)
    from mitigate.report.wandb_report import build_report, build_view

    tag = sweep_tag(description.config)
    report = build_report(
        grid,
        title=description.title,
        config=description.config,
        versions=description.versions,
        tag=tag,
        project=project,
        entity=entity,
    )
    view = build_view(grid, tags=[tag], project=project, entity=entity)
    _keep(folder / "report.json", report)
    _keep(folder / "view.json", view)
    if not _online():
        runs = sorted((folder / "wandb").glob("offline-run-*"))
        print(
            f"Not sent, as there is no W&B account here or it is offline. Kept in {folder / 'report.json'} and "
            f"{folder / 'view.json'}. To send it from a machine with an account:"
        )
        if runs:
            print(f"  wandb sync --entity {entity} --project {project} {folder / 'wandb'}/offline-run-*")
        print(f"  mitigate report {folder} --wandb {place}")
        return 0
    return _send([report, view])


def publish_view(first: Description, second: Description, grid: GridAnalysis, folder: Path, place: str) -> int:
    """
    Build a saved view of two sweeps, keep it as JSON, and send it if there is an account.

    Args:
        first (`Description`):
            A sweep.
        second (`Description`):
            Another.
        grid (`GridAnalysis`):
            Analysis of the first, for the names of its tasks.
        folder (`Path`):
            Folder to write to.
        place (`str`):
            `ENTITY/PROJECT`.

    Returns:
        `int`: 0; 1 if W&B did not take it.

    Raises:
        ConfigError: If the place is not of that form, or wandb-workspaces is not installed.
    """
    entity, project = read_place(place)
    from mitigate.report.wandb_report import build_view

    tags = [sweep_tag(description.config) for description in (first, second)]
    view: Workspace = build_view(grid, tags=tags, project=project, entity=entity)
    _keep(folder / "view.json", view)
    if _online():
        return _send([view])
    print(f"Not sent, as there is no W&B account here or it is offline. Kept in {folder / 'view.json'}.")
    return 0


def read_place(place: str) -> tuple[str, str]:
    """
    Read where a report goes in W&B.

    Args:
        place (`str`):
            `ENTITY/PROJECT`.

    Returns:
        `tuple[str, str]`: Entity and project.

    Raises:
        ConfigError: If the place is not of that form, or wandb-workspaces is not installed.
    """
    entity, _, project = place.partition("/")
    if not entity or not project or "/" in project:
        raise ConfigError(f"`--wandb` must be ENTITY/PROJECT, such as my-team/mitigate, got '{place}'.")
    try:
        import wandb_workspaces  # noqa: F401
    except ImportError as error:
        raise ConfigError("`--wandb` needs wandb-workspaces. Run `pip install 'mitigate[wandb-report]'`.") from error
    return entity, project


def _keep(path: Path, built: Any) -> None:
    # wandb-workspaces has no public way to give what it would send.
    replace_file(path, built._to_model().model_dump_json(by_alias=True, exclude_none=True, indent=1) + "\n")


def _online() -> bool:
    offline = os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun")
    return not offline and bool(wandb.login(prompt=False))


def _send(built: Sequence[Any]) -> int:
    try:
        for part in built:
            part.save()
            print(f"W&B: {part.url}")
    except (wandb.errors.Error, OSError, ValueError) as error:
        print(f"W&B did not take it ({type(error).__name__}: {error}). The files are kept.", file=sys.stderr)
        return 1
    return 0
