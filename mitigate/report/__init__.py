"""Reports of a sweep's analysis: sentences, a terminal table, a figure, a self-contained page and a CSV table."""

from mitigate.report.figures import figure, write_figure
from mitigate.report.html import write_html
from mitigate.report.tables import write_table
from mitigate.report.terminal import render
from mitigate.report.verdict import verdict

__all__ = ["figure", "render", "verdict", "write_figure", "write_html", "write_table"]
