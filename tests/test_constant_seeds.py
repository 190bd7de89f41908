"""Sweeps whose seeds gave the same values: nothing of them may be called found, on any page."""

import io
import math

import numpy as np
import pytest
from rich.console import Console

from mitigate.analysis import analyse
from mitigate.grid import TaskDescription, analyse_grid
from mitigate.report import verdict
from mitigate.report.compare import Side, compare_tables, compare_verdict
from mitigate.report.grid import grid_tables, grid_verdict, render_grid, write_grid_html
from mitigate.report.tables import slope_table
from tests.sweeps import ARMS, record, task_sweep

NULL = {"none": (0.0, 0.0), "balanced": (0.0, 0.0), "mask": (0.0, 0.0)}
TASKS = {name: TaskDescription(related=name != "topics") for name in ("hiring", "salary", "topics")}


def alike(records, tasks=("hiring", "topics")):
    """Give all seeds the values of the first on some tasks, as happens with countable metrics."""
    places = {}
    for each in records:
        place = tuple(value for key, value in each["cell"].items() if key != "seed")
        first = places.setdefault(place, each)
        for task in tasks:
            each["tasks"][task] = dict(first["tasks"][task])
    return records


@pytest.fixture(scope="module")
def grid():
    return analyse_grid(alike(task_sweep(seeds=3)), TASKS)


def test_no_field_without_spread_is_significant_or_in_the_family(grid):
    fields = [e for e in grid.effects if e.task == "hiring" and e.mitigation == "none"]
    assert fields
    assert all(math.isnan(e.p) and math.isnan(e.p_bh) and e.interval.is_constant for e in fields)
    assert grid.family == sum(not math.isnan(e.p) for e in grid.effects) < len(grid.effects)


def test_a_control_that_cannot_move_is_not_called_unmoved():
    grid = analyse_grid(alike(task_sweep(NULL, seeds=3, noise=0.0), tasks=()), TASKS)
    (tested,) = grid.equivalences
    assert tested.shift.estimate == 0
    assert math.isnan(tested.p)
    said = " ".join(grid_verdict(grid))
    assert "Not tested that control tasks stay as they were (topics): all 3 seeds gave the same shift, 0." in said


def test_hypotheses_say_why_they_are_not_tested():
    records = alike(task_sweep(seeds=3), tasks=("hiring", "salary", "topics"))
    for each in records:  # levels that differ give the tasks a scale, and slopes stay the same
        for metrics in each["tasks"].values():
            metrics["bias"] = round(metrics["bias"], 3) + each["cell"]["seed"]
    grid = analyse_grid(records, TASKS)
    first = grid.hypotheses[0]
    assert first.untested == "all 3 seeds gave the same value"
    assert math.isnan(first.p_holm)
    said = " ".join(grid_verdict(grid))
    assert "Not tested, as all 3 seeds gave the same value: that bias is inherited on related tasks" in said
    assert "detected on none (0 tested)" not in said


def test_pages_and_tables_mark_what_is_not_testable(grid, tmp_path):
    write_grid_html(grid, tmp_path / "page.html", title="t", config={}, versions={})
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "nan" not in page.split("</style>")[1].split("data:text/csv")[0]
    assert "is not testable: all seeds gave the same value" in page
    shown = {cell for table in grid_tables(grid) for row in table.rows for cell in row}
    assert any(cell.endswith(" =") for cell in shown)
    assert not any("nan" in cell for cell in shown)
    console = Console(width=300, record=True, file=io.StringIO())
    console.print(render_grid(grid))
    assert "all seeds gave the same slope on hiring, topics, which cannot be tested" in console.export_text()


def test_two_sweeps_that_differ_by_one_number_are_not_told_apart():
    grids = (analyse_grid(alike(task_sweep(arms, seeds=3)), TASKS) for arms in (ARMS, NULL))
    a, b = (Side(name, name, grid, {}, {}) for name, grid in zip("ab", grids, strict=True))
    said = " ".join(compare_verdict(a, b))
    assert "On hiring" not in said
    rows = [row for row in compare_tables(a, b)[1].rows if row[0].startswith("hiring, no mitigation")]
    assert rows[0][3].endswith(" =")
    assert rows[0][4] == "–"


def test_a_sweep_of_one_task_says_that_seeds_agree():
    records = [
        record(ratio, arm, float(ratio > 0), seed, bias=0.1 + seed + (0.5 if arm == "none" else 0.25) * ratio)
        for seed in range(3)
        for ratio in (0.0, 0.5)
        for arm in (("none", "mask") if ratio else ("none",))
    ]
    analysis = analyse(records)
    assert math.isnan(analysis.arms[0].p_holm)
    assert analysis.slope_family == analysis.contrast_family == 0
    said = " ".join(verdict(analysis))
    assert "is not tested: without mitigation all 3 seeds gave the same slope, +0.050 per +0.10" in said
    assert "An effect of mask (β = 1) on inheritance is not testable" in said
    assert "detected" not in said.replace("is not detected", "")
    assert not any("nan" in cell for row in slope_table(analysis).rows for cell in row)


def test_null_sweeps_of_few_items_have_no_stars():
    """Six tasks of 24 items, two seeds, no effect: agreement by chance is common, and no field may get a star."""
    generator = np.random.default_rng(0)
    records = task_sweep(NULL, seeds=2, ratios=(0.0, 0.5), types=("a", "b", "c"), missing=False)
    for each in records:
        for metrics in each["tasks"].values():
            metrics["bias"] = generator.binomial(24, 0.3) / 24
    grid = analyse_grid(records, TASKS)
    assert any(e.interval.is_constant for e in grid.effects)
    assert not [e for e in grid.effects if e.p_bh <= 0.05]
