"""A sweep over tasks as one self-contained page: no script, no network, light and dark, wide and narrow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from mitigate.files import replace_file
from mitigate.grid import GridAnalysis, TaskAnalysis
from mitigate.report.figures import figure
from mitigate.report.grid import figures, tables
from mitigate.report.grid.effects import task_title
from mitigate.report.grid.verdict import grid_verdict
from mitigate.report.html import load_template
from mitigate.report.rows import audit_findings, rows_table
from mitigate.report.tables import Table, curve_table, slope_table, trend_table


@dataclass(frozen=True)
class Section:
    """
    Figures and tables that belong together.

    Args:
        title (`str`):
            Heading.
        tables (`tuple[Table, ...]`):
            Its tables.
        figures (`tuple[Markup, ...]`, *optional*):
            Its figures, as SVG elements.
        note (`str`, *optional*, defaults to `""`):
            A sentence above them.
    """

    title: str
    tables: tuple[Table, ...]
    figures: tuple[Markup, ...] = ()
    note: str = ""


def write_grid_html(
    grid: GridAnalysis,
    path: str | Path,
    *,
    title: str,
    config: Mapping[str, Any],
    versions: Mapping[str, str],
    records: Iterable[Mapping[str, Any]] = (),
    audit: Mapping[str, Any] | None = None,
) -> None:
    """
    Write the report of a sweep over tasks as one HTML file.

    Names, labels, configuration and title are escaped: nothing of them is read as markup.

    Args:
        grid (`GridAnalysis`):
            As returned by [`mitigate.grid.analyse_grid`].
        path (`str` or `Path`):
            File to write; its folder must exist. It is replaced at once, never half written.
        title (`str`):
            Heading of the page.
        config (`Mapping[str, Any]`):
            The exact configuration of the sweep, of plain values, shown as YAML in its own order.
        versions (`Mapping[str, str]`):
            Version by package, shown in its own order.
        records (`Iterable[Mapping[str, Any]]`, *optional*):
            The records of the sweep, for the rows that its models were trained on.
        audit (`Mapping[str, Any]`, *optional*):
            What `mitigate audit` wrote to `audit.json`.
    """
    page = load_template("grid/page.html").render(
        title=title,
        grid=grid,
        sentences=grid_verdict(grid),
        maps=[_map_section(grid, dose) for dose in grid.doses],
        frontier=_frontier(grid),
        related=_related(grid),
        types=_types(grid) if len(grid.bias_types) > 1 else None,
        tasks=[_task_section(task, number) for number, task in enumerate(grid.tasks)],
        missing=tables.missing_table(grid) if grid.missing_answers else None,
        hypotheses=tables.hypothesis_table(grid),
        everything=tables.grid_table(grid),
        rows=rows_table(records),
        findings=audit_findings(audit),
        config=yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True),
        versions=versions,
    )
    replace_file(path, page)


def grid_tables(grid: GridAnalysis, records: Iterable[Mapping[str, Any]] = ()) -> Iterator[Table]:
    """
    List all tables of the page, for their CSV files.

    Args:
        grid (`GridAnalysis`):
            The sweep.
        records (`Iterable[Mapping[str, Any]]`, *optional*):
            Its records.

    Yields:
        `Table`: Each with another name.
    """
    yield from (tables.hypothesis_table(grid), tables.grid_table(grid))
    yield from (tables.effect_table(grid, dose) for dose in grid.doses)
    yield from (*_frontier_tables(grid), *_related_tables(grid), *_type_tables(grid))
    for task in grid.tasks:
        yield from _task_tables(task)
    if grid.missing_answers:
        yield tables.missing_table(grid)
    rows = rows_table(records)
    if rows:
        yield rows


def _map_section(grid: GridAnalysis, dose: float) -> Section:
    # Our own SVG is the only markup that is put in unescaped; matplotlib escapes the names in it.
    picture = Markup(figures.mitigation_map(grid, dose))
    return Section(f"β = {dose:g}", (tables.effect_table(grid, dose),), (picture,))


def _frontier_tables(grid: GridAnalysis) -> tuple[Table, ...]:
    return (tables.frontier_table(grid),) if grid.frontier else ()


def _frontier(grid: GridAnalysis) -> Section:
    if not grid.frontier:
        return Section(
            "", (), note="There is no frontier: it needs two seeds that differ, and a bias ratio above 0 of every arm."
        )
    return Section("", _frontier_tables(grid), (Markup(figures.frontier_figure(grid)),))


def _related_tables(grid: GridAnalysis) -> tuple[Table, ...]:
    compared = (tables.related_table(grid),) if grid.related_control else ()
    equivalent = (tables.equivalence_table(grid),) if grid.equivalences else ()
    return (tables.task_slope_table(grid), *compared, *equivalent)


def _related(grid: GridAnalysis) -> Section:
    scaled = any(math.isfinite(task.scale) for task in grid.tasks)
    return Section("", _related_tables(grid), (Markup(figures.related_figure(grid)),) if scaled else ())


def _type_tables(grid: GridAnalysis) -> tuple[Table, ...]:
    if len(grid.bias_types) < 2:
        return ()
    by_type = (tables.effect_table(grid, dose, kind) for dose in grid.doses for kind in grid.bias_types)
    return (tables.type_table(grid), tables.type_effect_table(grid), *by_type)


def _types(grid: GridAnalysis) -> Section:
    return Section("", _type_tables(grid), (Markup(figures.type_map(grid, grid.dose)),))


def _task_section(task: TaskAnalysis, number: int) -> Section:
    title = task_title(task)
    if task.overall is None:
        return Section(title, (), note=f"It could not be analysed: {task.problem}")
    analysis = task.overall
    doses = sorted({arm.dose for arm in analysis.arms if not arm.is_null}, reverse=True) or [0.0]
    pictures = tuple(
        Markup(figure(analysis, dose=dose, panels=(metric,), standalone=False, prefix=f"task{number}-"))
        for dose in doses
        for metric in ("bias", "utility")
    )
    return Section(title, _task_tables(task), pictures)


def _task_tables(task: TaskAnalysis) -> tuple[Table, ...]:
    if task.overall is None:
        return ()
    further = sorted({name for arm in task.overall.arms for name in arm.curves} - {"bias", "utility"})
    shown = [
        slope_table(task.overall),
        trend_table(task.overall),
        *(curve_table(task.overall, name) for name in ("bias", "utility", *further)),
    ]
    return tuple(replace(table, name=f"{task.name}-{table.name}") for table in shown)
