import csv
import io
import math

import numpy as np
import pytest
from scipy.stats import ttest_ind, ttest_rel
from statsmodels.stats.multitest import multipletests

from mitigate.curves import curve_slopes
from mitigate.grid import TaskDescription, analyse_grid
from mitigate.grid.compare import changed_settings, compare_slopes
from mitigate.recipes.cli import main
from mitigate.report.compare import Side, compare_verdict
from mitigate.stats import welch_interval
from tests.pages import Outline
from tests.sweep_folders import write_folder
from tests.sweeps import ARMS, TASKS, task_sweep

DESCRIPTIONS = {name: TaskDescription(related) for name, related in TASKS.items()}
LESS = {**ARMS, "mask": (-0.05, -0.01)}


def analysed(**settings):
    return analyse_grid(task_sweep(**settings), DESCRIPTIONS)


def own_slopes(grid, task, arm):
    return list(curve_slopes(grid.task(task).arm(arm, 1.0).curves["bias"]).values())


class TestWelch:
    def test_is_that_of_scipy(self):
        first, second = [1.0, 2.0, 4.0, 3.5], [0.5, 0.7, 0.4]
        interval, p = welch_interval(first, second)
        expected = ttest_ind(first, second, equal_var=False)
        assert p == pytest.approx(expected.pvalue)
        assert (interval.low, interval.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
        assert (interval.estimate, interval.n) == (pytest.approx(np.mean(first) - np.mean(second)), 3)

    def test_too_little(self):
        for first, second in (([1.0], [2.0, 3.0]), ([], [1.0]), ([1.0, 1.0], [2.0, 2.0])):
            interval, p = welch_interval(first, second)
            assert math.isnan(interval.low)
            assert math.isnan(p)
            assert math.isnan(interval.estimate) == (not first)


class TestSlopes:
    def test_the_same_seeds_are_pairs(self):
        first, second = analysed(), analysed(arms=LESS, rng=1)
        found = {(d.task, d.mitigation): d for d in compare_slopes(first, second)}
        assert len(found) == 12
        chosen = found["salary", "mask"]
        x, y = own_slopes(first, "salary", "mask"), own_slopes(second, "salary", "mask")
        assert chosen.paired
        assert chosen.p == pytest.approx(ttest_rel(y, x).pvalue)
        assert chosen.difference.estimate == pytest.approx(np.mean(y) - np.mean(x))
        assert chosen.difference.high < 0
        expected = multipletests([d.p for d in found.values()], method="fdr_bh")[1]
        assert [d.p_bh for d in found.values()] == pytest.approx(expected)

    def test_other_seeds_are_not(self):
        first, second = analysed(), analysed(seeds=4, rng=1)
        chosen = next(d for d in compare_slopes(first, second) if (d.task, d.mitigation) == ("hiring", "none"))
        x, y = own_slopes(first, "hiring", "none"), own_slopes(second, "hiring", "none")
        assert not chosen.paired
        assert chosen.p == pytest.approx(ttest_ind(y, x, equal_var=False).pvalue)

    def test_only_what_both_have(self):
        fewer = {"none": ARMS["none"], "mask": ARMS["mask"]}
        second = analyse_grid(task_sweep(fewer, tasks={"hiring": True}), {"hiring": TaskDescription(True)})
        assert {(d.task, d.mitigation) for d in compare_slopes(analysed(), second)} == {
            ("hiring", "none"),
            ("hiring", "mask"),
        }

    def test_nothing_in_common(self):
        other = analyse_grid(task_sweep(tasks={"letters": True}), {"letters": TaskDescription(True)})
        with pytest.raises(ValueError, match="hiring, salary, topics, the other letters"):
            compare_slopes(analysed(), other)


def test_changed_settings():
    first, second = {"a": 1, "b": [1], "gone": 2}, {"a": 1, "b": [2], "new": None, "other": 3}
    assert changed_settings(first, second) == {"b": ([1], [2]), "gone": (2, None), "other": (None, 3)}


def bent(records, ratios=(), seeds=()):
    """Give every curve one bend, and take away the cells of these ratios and seeds under no mitigation."""
    for each in records:
        cell = each["cell"]
        for metrics in each["tasks"].values():
            metrics["bias"] = math.sqrt(cell["bias_ratio"]) + 0.001 * metrics["bias"]
    return [
        each
        for each in records
        if not (each["cell"]["mitigation"] == "none" and each["cell"]["bias_ratio"] in ratios)
        or each["cell"]["seed"] not in seeds
    ]


def sentences(grids):
    return " ".join(compare_verdict(*(Side(name, name, grid, {}, {}) for name, grid in zip("ab", grids, strict=True))))


class TestCells:
    """Two sweeps of one bent curve do not differ, whatever cells either of them lacks."""

    def compared(self, ratios, missing, others=5):
        first = analyse_grid(bent(task_sweep()), DESCRIPTIONS)
        second = analyse_grid(bent(task_sweep(seeds=others, rng=1), ratios, missing), DESCRIPTIONS)
        differences = compare_slopes(first, second)
        return (first, second), {(d.task, d.mitigation): d for d in differences}

    def test_ratios_that_one_lacks_are_left_out_of_both(self):
        grids, found = self.compared((0.5, 0.75), range(5))
        chosen = found["hiring", "none"]
        assert chosen.paired
        assert chosen.ratios == (0.0, 0.25)
        assert chosen.first.estimate == pytest.approx(0.2, abs=0.01)  # √0.25 over 0.25, per +0.10
        assert chosen.difference.low < 0 < chosen.difference.high
        assert chosen.trimmed
        assert not found["hiring", "mask"].trimmed
        assert found["hiring", "mask"].ratios == (0.0, 0.25, 0.5, 0.75)
        said = " ".join(
            compare_verdict(*(Side(name, name, grid, {}, {}) for name, grid in zip("ab", grids, strict=False)))
        )
        assert "No difference of slopes is detected" in said
        assert "do not have the same cells of hiring (no mitigation), salary (no mitigation)" in said
        assert "slopes are taken over ρ = 0, 0.25" in said

    def test_pairs_of_seeds_are_compared_where_both_have_cells(self):
        chosen = self.compared((0.75,), (0, 1))[1]["hiring", "none"]
        assert chosen.paired
        assert chosen.trimmed
        assert chosen.difference.n == 5
        assert abs(chosen.difference.estimate) < 1e-3

    def test_seeds_that_are_no_pairs_must_have_all_ratios(self):
        chosen = self.compared((0.75,), (0, 1), others=4)[1]["hiring", "none"]
        assert not chosen.paired
        assert (chosen.first.n, chosen.second.n) == (5, 2)
        assert abs(chosen.difference.estimate) < 1e-3

    def test_no_ratio_in_common(self):
        _grids, found = self.compared((0.25, 0.5, 0.75), range(1, 5))
        chosen = found["hiring", "none"]
        assert not chosen.paired  # one seed has a slope in the second sweep
        first = analyse_grid(bent(task_sweep(ratios=(0.0, 0.25))), DESCRIPTIONS)
        second = analyse_grid(bent(task_sweep(ratios=(0.0, 0.5))), DESCRIPTIONS)
        assert {math.isnan(d.p) for d in compare_slopes(first, second)} == {True}
        said = " ".join(
            compare_verdict(
                *(Side(name, name, grid, {}, {}) for name, grid in zip("ab", (first, second), strict=False))
            )
        )
        assert "no slope can be compared" in said


class TestCommand:
    def test_writes_page_and_tables(self, tmp_path, capsys):
        first = write_folder(tmp_path / "a", task_sweep(), title="Before <b>")
        second = write_folder(tmp_path / "b", task_sweep(LESS, rng=1), title="After", epochs=2.0)
        assert main(["report", "--compare", str(first), str(second), "--output_dir", str(tmp_path / "out")]) == 0
        printed = " ".join(capsys.readouterr().out.split())
        finding = "On hiring, under mask (β = 1), B inherits less than A: the slopes differ by −0.0"
        assert finding in printed
        text = (tmp_path / "out" / "compare.html").read_text(encoding="utf-8")
        outline = Outline(text)
        assert finding in outline.shown
        assert "epochs 1.0 2.0" in outline.shown
        assert "Before <b>" in outline.shown
        assert outline.tags.count("svg") == 1
        assert not {"script", "link", "img"} & set(outline.tags)
        rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "tables" / "differences.csv").read_text())))
        difference = compare_slopes(analysed(), analysed(arms=LESS, rng=1))[0]
        assert float(rows[0]["estimate_difference"]) == difference.difference.estimate

    def test_a_sweep_with_itself(self, tmp_path, capsys):
        folder = write_folder(tmp_path / "a", task_sweep(seeds=2))
        assert main(["report", "--compare", str(folder), str(folder), "--output_dir", str(tmp_path / "out")]) == 0
        printed = " ".join(capsys.readouterr().out.split())
        assert "12 of 12 pairs of slopes are the same in every digit" in printed
        assert "No difference is tested" in printed
        assert "(none)" in printed

    def test_nothing_in_common_and_no_sweep(self, tmp_path, capsys):
        first = write_folder(tmp_path / "a", task_sweep())
        second = write_folder(tmp_path / "b", task_sweep(tasks={"letters": True}), tasks={"letters": True})
        assert main(["report", "--compare", str(first), str(second), "--output_dir", str(tmp_path / "out")]) == 1
        assert "There is no comparison" in capsys.readouterr().err
        assert main(["report", "--compare", str(first), str(tmp_path / "none")]) == 2
        assert "it has no sweep.json" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
