"""The report of a sweep as a W&B Report, and a saved view that puts sweeps side by side."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from mitigate.grid import GridAnalysis
from mitigate.report.grid import tables
from mitigate.report.grid.verdict import grid_verdict
from mitigate.report.tables import Table

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2 import Panel, Report
    from wandb_workspaces.workspaces import Workspace

_LONGEST_TITLE = 128  # characters, W&B's limit


def build_report(
    grid: GridAnalysis,
    *,
    title: str,
    config: Mapping[str, Any],
    versions: Mapping[str, str],
    tag: str,
    project: str,
    entity: str = "",
) -> Report:
    """
    Build the W&B Report of a sweep: verdict, tables, and panels of its runs. Nothing is sent.

    Args:
        grid (`GridAnalysis`):
            As returned by [`mitigate.grid.analyse_grid`].
        title (`str`):
            Title; cut after 128 characters.
        config (`Mapping[str, Any]`):
            The configuration of the sweep.
        versions (`Mapping[str, str]`):
            Version by package.
        tag (`str`):
            Tag of the sweep's runs.
        project (`str`):
            W&B project of the runs.
        entity (`str`, *optional*, defaults to `""`):
            Who owns the project.

    Returns:
        `wandb_workspaces.reports.v2.Report`: Its `save` sends it to W&B.

    Raises:
        ImportError: If wandb-workspaces is not installed.
    """
    import wandb_workspaces.reports.v2 as wr
    from wandb_workspaces import expr

    # Without an entity and project of its own, a run set is that of the report's project, and needs no look-up.
    runs = wr.Runset(
        name=tag, filters=expr.And(expr.Tags().isin([tag])), groupby=["config.mitigation", "config.bias_ratio"]
    )
    shown = [tables.hypothesis_table(grid), *(tables.effect_table(grid, dose) for dose in grid.doses)]
    shown += [tables.frontier_table(grid)] if grid.frontier else []
    shown += [tables.task_slope_table(grid)]
    shown += [tables.related_table(grid)] if grid.related_control else []
    shown += [tables.equivalence_table(grid)] if grid.equivalences else []
    shown += [tables.missing_table(grid)] if grid.missing_answers else []
    blocks = [
        wr.H2("Verdict"),
        wr.UnorderedList(items=grid_verdict(grid)),
        wr.H2("Numbers"),
        *(wr.MarkdownBlock(markdown_table(table)) for table in shown),
        wr.H2("Runs"),
        wr.PanelGrid(runsets=[runs], panels=_panels(grid)),
        wr.H2("Setup"),
        wr.CodeBlock(yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True), language="yaml"),
        wr.CodeBlock(yaml.safe_dump(dict(versions), sort_keys=False), language="yaml"),
    ]
    return wr.Report(project=project, entity=entity, title=title[:_LONGEST_TITLE], blocks=blocks, width="fluid")


def build_view(grid: GridAnalysis, *, tags: Sequence[str], project: str, entity: str) -> Workspace:
    """
    Build a saved view of a project that shows some sweeps alone, grouped by mitigation and sweep. Nothing is sent.

    Args:
        grid (`GridAnalysis`):
            One of the sweeps, for the names of its tasks.
        tags (`Sequence[str]`):
            Tags of the sweeps.
        project (`str`):
            W&B project of the runs.
        entity (`str`):
            Who owns the project.

    Returns:
        `wandb_workspaces.workspaces.Workspace`: Its `save` sends it to W&B.

    Raises:
        ImportError: If wandb-workspaces is not installed.
    """
    import wandb_workspaces.workspaces as ws

    grouping = [ws.Config("mitigation"), *([ws.Config("sweep")] if len(tags) > 1 else [])]
    return ws.Workspace(
        entity=entity,
        project=project,
        name=" against ".join(tags),
        sections=[ws.Section(name="Results", panels=_panels(grid), is_open=True)],
        runset_settings=ws.RunsetSettings(filters=ws.And(ws.Tags().isin(list(tags))), groupby=grouping),
    )


def markdown_table(table: Table) -> str:
    """
    Write a table as Markdown, in which no text is read as markup.

    Args:
        table (`Table`):
            The table.

    Returns:
        `str`: Caption and table.
    """
    lines = [table.header, ["---"] * len(table.header), *table.rows]
    written = [f"| {' | '.join(line if line == '---' else _escape(line) for line in cells)} |" for cells in lines]
    return "\n".join([f"**{_escape(table.caption)}**", "", *written])


def _escape(text: str) -> str:
    escaped = html.escape(" ".join(text.split()), quote=False)
    for mark in ("\\", "|", "*", "_", "`", "[", "]"):
        escaped = escaped.replace(mark, f"\\{mark}")
    return escaped


def _panels(grid: GridAnalysis) -> list[Panel]:
    """Draw bias by mitigation and by bias ratio for each task, the tables of results, and what differs in runs."""
    import wandb_workspaces.reports.v2 as wr

    several = len(grid.tasks) > 1
    panels: list[Panel] = []
    for task in grid.tasks:
        bias = f"{task.name}/bias" if several else "bias"
        label = f"{task.name}: {task.description.labels.get('bias', 'bias')}"
        by_arm = wr.BarPlot(title=label, metrics=[bias], groupby=wr.Config("mitigation"), groupby_aggfunc="mean")
        panels += [by_arm, wr.ScatterPlot(title=label, x=wr.Config("bias_ratio"), y=wr.SummaryMetric(bias))]
    return [*panels, wr.WeavePanelSummaryTable(table_name="results"), wr.RunComparer(diff_only="split")]
