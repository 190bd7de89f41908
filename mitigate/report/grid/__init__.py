"""Reports of a sweep over tasks: sentences, terminal tables, figures, a self-contained page and CSV tables."""

from mitigate.report.grid.html import grid_tables, write_grid_html
from mitigate.report.grid.terminal import render_grid
from mitigate.report.grid.verdict import grid_verdict

__all__ = ["grid_tables", "grid_verdict", "render_grid", "write_grid_html"]
