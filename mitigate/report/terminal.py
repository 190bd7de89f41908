"""The analysis on a terminal: tables and verdict, drawn by rich."""

from __future__ import annotations

from rich import box
from rich.console import Group
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from mitigate.analysis import Analysis
from mitigate.report.tables import Table, curve_table, slope_table
from mitigate.report.verdict import verdict


def render(analysis: Analysis) -> Group:
    """
    Lay out bias and utility by bias ratio, slopes and comparisons, and the verdict, for `rich.print`.

    Args:
        analysis (`Analysis`):
            As returned by [`mitigate.analysis.analyse`].

    Returns:
        `rich.console.Group`: To be printed by any rich console.
    """
    tables = [curve_table(analysis, "bias"), slope_table(analysis), curve_table(analysis, "utility")]
    sentences = [Padding(Text(f"• {sentence}"), (0, 0, 0, 1)) for sentence in verdict(analysis)]
    return Group(*(draw_table(table) for table in tables), Text("Verdict", style="bold"), *sentences)


def draw_table(table: Table) -> Padding:
    """
    Lay out a table.

    Args:
        table (`Table`):
            The table; none of its text is read as markup.

    Returns:
        `rich.padding.Padding`: To be printed by any rich console.
    """
    # Text, not str: rich would read brackets in a name as markup.
    drawn = RichTable(title=Text(table.caption), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for i, name in enumerate(table.header):
        drawn.add_column(Text(name), justify="right" if i else "left", no_wrap=i == 0, overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(cell) for cell in row))
    return Padding(drawn, (0, 0, 1, 0))
