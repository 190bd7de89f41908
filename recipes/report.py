r"""
Make the report of a sweep from its folder alone, finished or not.

    mitigate report outputs/sweep
    mitigate report outputs/sweep --wandb my-team/mitigate
    mitigate report --compare outputs/before outputs/after
    python recipes/report.py outputs/sweep

It reads `sweep.json` and `cells/`, and trains nothing. The page `docs/reports.md` explains what the report shows.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mitigate.analysis import analyse
from mitigate.cells import Cell
from mitigate.files import replace_file
from mitigate.grid import GridAnalysis, analyse_grid, bias_types_of
from mitigate.recipes.config import ConfigError
from mitigate.recipes.description import Description, described_records, read_description
from mitigate.recipes.publish import publish_report, publish_view, read_place
from mitigate.recipes.terminal import table_console
from mitigate.report import render, write_figure, write_html, write_table
from mitigate.report.compare import Side, compare_tables, render_comparison, write_comparison
from mitigate.report.grid import grid_tables, render_grid, write_grid_html
from mitigate.report.rows import audit_findings, rows_table
from mitigate.report.tables import Table, curve_table, slope_table, subgroup_tables, trend_table

Audit = dict[str, Any] | None


def main(arguments: list[str] | None = None) -> int:
    """
    Make a report.

    Args:
        arguments (`list[str]`, *optional*):
            Command line; by default the program's.

    Returns:
        `int`: 0; 1 if too few cells are finished for a report; 2 if the folder is not that of a sweep.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.output_dir and not options.compare:
        parser.error(
            "--output_dir is the folder of a comparison; the report of one sweep goes into the folder of that sweep"
        )
    try:
        if options.wandb:
            read_place(options.wandb)  # what is wrong with it shows before any work
        if options.compare:
            first, second = map(Path, options.compare)
            return compare(first, second, Path(options.output_dir or "outputs/compare"), options.wandb)
        folder = Path(options.folder)
        return write_report(folder, read_description(folder), options.wandb)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2


def report_sweep(folder: Path) -> int:
    """
    Report on a sweep that was just run.

    Args:
        folder (`Path`):
            Its folder.

    Returns:
        `int`: 0; 1 if cells failed or there is nothing to report.
    """
    description = read_description(folder)
    failed = [record for record in described_records(folder, description) if record["status"] != "done"]
    for record in failed:
        print(f"failed: {Cell(**record['cell'])}: {record.get('error', record['status'])}", file=sys.stderr)
    return max(write_report(folder, description), 1 if failed else 0)


def write_report(folder: Path, description: Description, place: str | None = None) -> int:
    """
    Print and write the report of a sweep.

    Args:
        folder (`Path`):
            Its folder.
        description (`Description`):
            Its description.
        place (`str`, *optional*):
            `ENTITY/PROJECT` in W&B, to which the report goes as well.

    Returns:
        `int`: 0; 1 if too few cells are finished, or W&B did not take the report.

    Raises:
        ConfigError: If `audit.json` in the folder is not what `mitigate audit` writes.
    """
    records = list(described_records(folder, description))
    page = {
        "title": description.title,
        "config": description.config,
        "versions": description.versions,
        "records": records,
        "audit": _read_audit(folder),
    }
    grid = None
    try:
        if len(description.tasks) > 1 or len(bias_types_of(records)) > 1:
            grid = analyse_grid(records, description.tasks)
            _report_grid(folder, grid, page)
        else:
            _report_one(folder, description, page)
    except ValueError as error:
        print(f"There is no report: {error}", file=sys.stderr)
        return 1
    print(f"Report: {folder / 'report.html'}")
    if place:
        return publish_report(folder, description, grid or analyse_grid(records, description.tasks), place)
    return 0


def compare(first: Path, second: Path, output_dir: Path, place: str | None = None) -> int:
    """
    Print and write the comparison of two sweeps.

    Args:
        first (`Path`):
            Folder of a sweep, called A.
        second (`Path`):
            Folder of another, called B.
        output_dir (`Path`):
            Folder to write to.
        place (`str`, *optional*):
            `ENTITY/PROJECT` in W&B, to which a saved view of both goes.

    Returns:
        `int`: 0; 1 if too few cells are finished, the sweeps have nothing in common, or W&B did not take the view.

    Raises:
        ConfigError: If a folder is not that of a sweep.
    """
    try:
        sides = _side(first), _side(second)
        table_console().print(render_comparison(*sides))
    except ConfigError:
        raise
    except ValueError as error:
        print(f"There is no comparison: {error}", file=sys.stderr)
        return 1
    output_dir.mkdir(parents=True, exist_ok=True)
    _write_tables(output_dir, compare_tables(*sides))
    write_comparison(*sides, output_dir / "compare.html")
    print(f"Comparison: {output_dir / 'compare.html'}")
    if place:
        descriptions = [read_description(folder) for folder in (first, second)]
        return publish_view(descriptions[0], descriptions[1], sides[0].grid, output_dir, place)
    return 0


def _side(folder: Path) -> Side:
    description = read_description(folder)
    grid = analyse_grid(described_records(folder, description), description.tasks)
    settings = {name: value for name, value in description.config.items() if name not in ("output_dir", "title")}
    return Side(str(folder), description.title, grid, settings, description.versions)


def _report_one(folder: Path, description: Description, page: dict[str, Any]) -> None:
    (task,) = description.tasks.values()
    analysis = analyse(page["records"], labels=task.labels)
    table_console().print(render(analysis))
    write_table(analysis, folder / "table.csv")
    write_figure(analysis, folder / "inheritance.svg")
    tables = [
        slope_table(analysis),
        trend_table(analysis),
        curve_table(analysis, "bias"),
        curve_table(analysis, "utility"),
    ]
    rows = rows_table(page["records"])
    _write_tables(folder, [*tables, *subgroup_tables(analysis), *([rows] if rows else [])])
    write_html(analysis, folder / "report.html", **page)


def _report_grid(folder: Path, grid: GridAnalysis, page: dict[str, Any]) -> None:
    table_console().print(render_grid(grid))
    _write_tables(folder, grid_tables(grid, page["records"]))
    write_grid_html(grid, folder / "report.html", **page)


def _write_tables(folder: Path, tables: Iterable[Table]) -> None:
    target = folder / "tables"
    target.mkdir(exist_ok=True)
    for table in tables:
        replace_file(target / table.file, table.csv)


def _read_audit(folder: Path) -> Audit:
    path = folder / "audit.json"
    if not path.is_file():
        return None
    try:
        audit: Audit = json.loads(path.read_text(encoding="utf-8"))
        audit_findings(audit)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"'{path}' is not what `mitigate audit` writes ({type(error).__name__}: {error}). Write it anew, or take "
            "it out of the folder."
        ) from error
    return audit


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mitigate report",
        description="Make the report of a sweep from its folder alone, finished or not.",
        allow_abbrev=False,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("folder", nargs="?", help="Folder of a sweep, its `output_dir`.")
    what.add_argument("--compare", nargs=2, metavar=("A", "B"), help="Folders of two sweeps to set side by side.")
    parser.add_argument(
        "--wandb", metavar="ENTITY/PROJECT", help="Make a W&B Report of the runs there, and a saved view, as well."
    )
    parser.add_argument("--output_dir", help="Folder of the comparison (default: outputs/compare).")
    return parser


if __name__ == "__main__":
    sys.exit(main())
