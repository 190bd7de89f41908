"""A sweep over tasks on a terminal, drawn by rich."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from mitigate.cells import BASELINES, is_mitigation
from mitigate.grid import GridAnalysis
from mitigate.report.grid.effects import overview_type, shown_effect, task_title
from mitigate.report.grid.tables import NOT_TESTABLE
from mitigate.report.grid.verdict import grid_verdict
from mitigate.report.numbers import ABSENT
from mitigate.report.tables import Table
from mitigate.report.terminal import draw_table


def render_grid(grid: GridAnalysis) -> Group:
    """
    Lay out the grid and the verdict, for `rich.print`.

    Args:
        grid (`GridAnalysis`):
            As returned by [`mitigate.grid.analyse_grid`].

    Returns:
        `rich.console.Group`: To be printed by any rich console.
    """
    tables = [
        draw_table(_narrow_table(grid, dose, title, arms))
        for dose in grid.doses
        for title, arms in _columns(grid.mitigations(dose)).items()
    ]
    sentences = [Padding(Text(f"• {sentence}"), (0, 0, 0, 1)) for sentence in grid_verdict(grid)]
    return Group(*tables, Text("Verdict", style="bold"), *sentences)


def _columns(arms: Sequence[str]) -> dict[str, list[str]]:
    """Give arms to tables that a terminal is wide enough for; controls are on the page alone."""
    found = {
        "Slope without mitigation, and what mitigations take off it": ["none", *filter(is_mitigation, arms)],
        "What baselines take off it": [arm for arm in arms if arm in BASELINES and arm != "none"],
    }
    return {title: columns for title, columns in found.items() if columns}


def _narrow_table(grid: GridAnalysis, dose: float, title: str, arms: Sequence[str]) -> Table:
    """Tabulate arms by task, without intervals, for which a terminal is too narrow."""
    kind = overview_type(grid)
    rows = []
    for task in grid.tasks:
        effects = [grid.effect(task.name, arm, dose, kind) for arm in arms]
        rows.append((task_title(task), *(ABSENT if e is None else shown_effect(e) for e in effects)))
    return Table(
        f"{title}, per +0.10 of ρ at β = {dose:g} (* p ≤ 0.05 by Benjamini–Hochberg over {grid.family} tests; "
        f"{NOT_TESTABLE})",
        ("task", *("inherited" if arm == "none" else arm for arm in arms)),
        tuple(rows),
    )
