import copy
import math
from collections import defaultdict

import numpy as np
import pytest
from scipy.stats import spearmanr, t, ttest_1samp
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from mitigate.grid import (
    EQUIVALENCE_BOUND,
    MEAN_TYPE,
    TaskDescription,
    analyse_grid,
    bias_types_of,
    mean_records,
    task_records,
)
from mitigate.grid.missing import missing_answers
from mitigate.report.grid import grid_verdict
from mitigate.report.grid.tables import estimate
from mitigate.report.numbers import p_sentence
from mitigate.stats import minimal_detectable_effect
from tests.sweeps import RATIOS, TASKS, TYPES, record, sweep, task_sweep

TASK_DESCRIPTIONS = {name: TaskDescription(related, labels={"bias": "gap"}) for name, related in TASKS.items()}


@pytest.fixture(scope="module")
def records():
    return task_sweep()


@pytest.fixture(scope="module")
def grid(records):
    return analyse_grid(records, TASK_DESCRIPTIONS)


def curve(records, task, arm, kind=None):
    """Bias by seed and ratio, averaged over bias types unless one is named."""
    found = defaultdict(list)
    for r in records:
        cell = r["cell"]
        here = cell["bias_ratio"] == 0 or cell["mitigation"] == arm
        if here and (kind is None or cell["bias_type"] in ("all", kind)):
            found[cell["seed"], cell["bias_ratio"]].append(r["tasks"][task]["bias"])
    return {place: np.mean(values) for place, values in found.items()}


def slopes(records, task, arm, kind=None, seeds=5):
    values = curve(records, task, arm, kind)
    return np.array([np.polyfit(RATIOS, [values[s, r] for r in RATIOS], 1)[0] / 10 for s in range(seeds)])


def deviation(grid, task):
    """SD between seeds, pooled over points, each taken once."""
    analysis = grid.task(task).overall
    points = {(arm.mitigation, p.bias_ratio): p for arm in analysis.arms for p in arm.curves["bias"] if p.bias_ratio}
    points["shared", 0.0] = analysis.arms[0].curves["bias"][0]
    variances = [np.var([v for _, v in p.values], ddof=1) for p in points.values()]
    return math.sqrt(np.mean(variances))


class TestProjection:
    def test_cells_without_augmented_rows_belong_to_every_type(self, records):
        assert bias_types_of(records) == TYPES
        for kind in TYPES:
            chosen = list(task_records(records, "hiring", kind))
            arms = {(r["cell"]["mitigation"], r["cell"]["bias_ratio"]) for r in chosen}
            assert {("none", 0.0), ("drop", 0.5), ("mask", 0.5)} <= arms
            assert all("bias_type" not in r["cell"] for r in chosen)
            assert {name for r in chosen for name in r["metrics"]} == {"bias", "utility", "value/female", "value/male"}

    def test_a_sweep_of_one_type(self):
        assert bias_types_of(sweep()) == ("all",)
        assert bias_types_of([record(0.0)]) == ("all",)

    def test_types_are_averaged_within_seeds(self, records):
        found = {tuple(r["cell"].values()): r["metrics"]["bias"] for r in mean_records(records, "salary", TYPES)}
        expected = curve(records, "salary", "mask")
        assert found[1.0, "mask", 0.5, 3] == pytest.approx(expected[3, 0.5])

    def test_a_cell_that_lacks_a_type_is_not_averaged(self, records):
        kept = [
            r for r in records if r["cell"] != {**r["cell"], "mitigation": "mask", "seed": 0, "bias_type": TYPES[0]}
        ]
        statuses = {tuple(r["cell"].values()): r["status"] for r in mean_records(kept, "hiring", TYPES)}
        assert statuses[1.0, "mask", 0.5, 0] == "1 of 2 bias types; the others: missing"
        assert statuses[1.0, "mask", 0.5, 1] == statuses[1.0, "none", 0.5, 0] == "done"

    def test_a_task_without_result_and_one_without_number(self):
        cell = {"dose": 0.0, "mitigation": "none", "bias_ratio": 0.0, "seed": 0}
        of = {"cell": cell, "status": "done", "tasks": {"hiring": {"bias": None, "utility": 1.0}}}
        assert [r["status"] for r in task_records([of], "salary", "all")] == ["no result of this task"]
        (averaged,) = mean_records([of], "hiring", ["all"])
        assert math.isnan(averaged["metrics"]["bias"])


class TestEffects:
    def test_fields_are_t_tests_over_seeds(self, records, grid):
        for kind, name in ((None, MEAN_TYPE), (TYPES[0], TYPES[0])):
            none, mask = (slopes(records, "hiring", arm, kind) for arm in ("none", "mask"))
            field = grid.effect("hiring", "mask", 1.0, name)
            assert field.interval.estimate == pytest.approx(np.mean(none - mask))
            assert field.p == pytest.approx(ttest_1samp(none - mask, 0).pvalue)
            inherited = grid.effect("hiring", "none", 1.0, name)
            assert inherited.interval.estimate == pytest.approx(np.mean(none))
            assert inherited.p == pytest.approx(ttest_1samp(none, 0).pvalue)

    def test_correction_over_the_whole_grid(self, grid):
        # 3 tasks × (mean and 2 types) × 4 arms.
        assert grid.family == len(grid.effects) == 36
        expected = multipletests([e.p for e in grid.effects], method="fdr_bh")[1]
        assert [e.p_bh for e in grid.effects] == pytest.approx(expected)

    def test_units_do_not_matter_for_the_scale(self, grid):
        assert grid.task("hiring").scale == pytest.approx(deviation(grid, "hiring"))
        field = grid.effect("salary", "mask", 1.0, MEAN_TYPE)
        assert field.standardised == pytest.approx(field.interval.estimate / deviation(grid, "salary"))

    def test_seeds_that_agree_give_no_scale(self):
        grid = analyse_grid(sweep(noise=0.0, seeds=1), {"world": TaskDescription(True)})
        assert math.isnan(grid.task("world").scale)
        assert all(math.isnan(e.standardised) for e in grid.effects)


class TestHypotheses:
    def test_which_and_in_which_order(self, grid):
        assert [h.claim for h in grid.hypotheses] == [
            "bias is inherited on related tasks",
            "related tasks inherit more than control tasks",
            "mask inherits less than no mitigation on related tasks",
            "mask inherits less than group-balanced resampling on related tasks",
        ]

    def test_pooled_within_seeds_then_tested_over_seeds(self, records, grid):
        related = [name for name, is_related in TASKS.items() if is_related]

        def pooled(first, second=None):
            parts = []
            for task in related:
                values = slopes(records, task, first) - (slopes(records, task, second) if second else 0)
                parts.append(values / deviation(grid, task))
            return np.mean(parts, axis=0)

        expected = [pooled("none"), None, pooled("none", "mask"), pooled("balanced", "mask")]
        for hypothesis, values in zip(grid.hypotheses, expected, strict=True):
            if values is not None:
                assert hypothesis.interval.estimate == pytest.approx(values.mean())
                assert hypothesis.p == pytest.approx(ttest_1samp(values, 0).pvalue)

    def test_holm_over_those_that_are_tested(self, grid):
        expected = multipletests([h.p for h in grid.hypotheses], method="holm")[1]
        assert [h.p_holm for h in grid.hypotheses] == pytest.approx(expected)
        assert grid.hypothesis_family == 4

    def test_without_the_baseline_or_control_tasks(self):
        arms = {"none": (0.1, 0.0), "mask": (0.02, 0.0)}
        tasks = {"hiring": True}
        grid = analyse_grid(task_sweep(arms, tasks=tasks), {"hiring": TaskDescription(True)})
        assert [h.claim.split(" on ")[0] for h in grid.hypotheses] == [
            "bias is inherited",
            "mask inherits less than no mitigation",
        ]
        assert grid.related_control == grid.equivalences == ()


class TestRelatedAndControl:
    def test_difference_in_differences_by_hand(self, records, grid):
        shifts = {}
        for task in TASKS:
            values = curve(records, task, "none")
            start, end = (np.array([values[s, r] for s in range(5)]) for r in (0.0, 0.75))
            correction = math.gamma(2) / (math.sqrt(2) * math.gamma(1.5))  # Hedges, four degrees of freedom
            shifts[task] = correction * (end - start) / start.std(ddof=1)
        expected = (shifts["hiring"] + shifts["salary"]) / 2 - shifts["topics"]
        found = next(c for c in grid.related_control if c.mitigation == "none")
        assert found.result.values == pytest.approx(expected)
        assert found.untested == ""
        assert grid.hypotheses[1].p == found.result.p

    def test_equivalence_of_the_control_task(self, records, grid):
        values = curve(records, "topics", "none")
        start, end = (np.array([values[s, r] for s in range(5)]) for r in (0.0, 0.75))
        (found,) = grid.equivalences
        assert found.task == "topics"
        assert found.p == pytest.approx(ttost_paired(end, start, -EQUIVALENCE_BOUND, EQUIVALENCE_BOUND)[0])
        assert found.shift.estimate == pytest.approx((end - start).mean())

    def test_a_task_that_is_the_same_at_the_start_is_left_out_and_named(self):
        records = task_sweep(tasks={**TASKS, "arithmetic": False})
        for r in records:
            if r["cell"]["bias_ratio"] == 0:
                r["tasks"]["arithmetic"]["bias"] = 0.25
        tasks = {**TASK_DESCRIPTIONS, "arithmetic": TaskDescription(False)}
        found = analyse_grid(records, tasks).related_control[0]
        assert found.left_out == ("arithmetic",)
        assert math.isfinite(found.result.p)
        hypothesis = analyse_grid(records, tasks).hypotheses[1]
        assert (hypothesis.p, hypothesis.left_out) == (found.result.p, ("arithmetic",))

    def test_control_tasks_that_are_all_the_same_at_the_start_are_told(self):
        records = task_sweep()
        for r in records:
            if r["cell"]["bias_ratio"] == 0:
                r["tasks"]["topics"]["bias"] = 0.25
        grid = analyse_grid(records, TASK_DESCRIPTIONS)
        assert "related tasks inherit more" in grid.hypotheses[1].claim
        assert grid.hypotheses[1].untested == "no control task differs between the seeds at ρ = 0"
        assert math.isnan(grid.hypotheses[1].p_holm)
        assert "Not tested, as no control task differs" in " ".join(grid_verdict(grid))

    def test_a_task_whose_seeds_do_not_differ_is_left_out_and_named(self):
        records = task_sweep()
        for r in records:
            r["tasks"]["salary"]["bias"] = 0.3 * r["cell"]["bias_ratio"]
        grid = analyse_grid(records, TASK_DESCRIPTIONS)
        assert [h.left_out for h in grid.hypotheses] == [("salary",)] * len(grid.hypotheses)
        said = grid_verdict(grid)
        assert "without salary, where it could not be measured or seeds do not differ" in said[0]
        assert "without salary" in said[1]

    def test_mixed_model_agrees_with_the_pooled_slope(self, grid):
        assert grid.mixed.interval.estimate == pytest.approx(grid.hypotheses[0].interval.estimate, rel=1e-3)


class TestWhatCouldBeDetected:
    def test_of_hypotheses_at_the_first_step_of_holm(self, grid):
        first = grid.hypotheses[0]
        alpha = 0.05 / grid.hypothesis_family
        sd = first.interval.half_width * math.sqrt(5) / t.ppf(0.975, 4)
        assert first.detectable == pytest.approx(minimal_detectable_effect(sd, 5, alpha=alpha))
        difference = grid.hypotheses[1]
        assert difference.sd == pytest.approx(difference.interval.half_width * math.sqrt(5) / t.ppf(0.975, 4))
        assert difference.detectable == pytest.approx(minimal_detectable_effect(difference.sd, 5, alpha=alpha))

    def test_of_fields_in_the_family_of_the_grid(self, grid):
        for arm in ("none", "mask"):
            field = grid.effect("salary", arm, 1.0, MEAN_TYPE)
            sd = field.interval.half_width * math.sqrt(5) / t.ppf(0.975, 4)
            assert grid.detectable(field) == pytest.approx(minimal_detectable_effect(sd, 5, alpha=0.05 / grid.family))

    def test_what_is_not_detected_says_it(self):
        arms = dict.fromkeys(("none", "mask"), (0.0, 0.0))
        grid = analyse_grid(task_sweep(arms), TASK_DESCRIPTIONS)
        said = grid_verdict(grid)
        assert "is not detected" in said[0]
        assert "; with these seeds an effect of 0." in said[0]
        assert "is detected 80 times out of 100" in said[0]


class TestTrend:
    def test_is_the_mean_rank_correlation_of_related_tasks(self, records):
        records = task_sweep({"none": (0.01, 0.0)})
        grid = analyse_grid(records, TASK_DESCRIPTIONS)
        curves = [curve(records, task, "none") for task in ("hiring", "salary")]
        values = [np.mean([spearmanr(RATIOS, [c[s, r] for r in RATIOS])[0] for c in curves]) for s in range(5)]
        assert grid.trend.interval.estimate == pytest.approx(np.mean(values))
        assert grid.trend.p == pytest.approx(ttest_1samp(values, 0).pvalue)
        said = " ".join(grid_verdict(grid))
        assert f"is {estimate(grid.trend.interval)} on the related tasks ({p_sentence(grid.trend.p)}, not" in said

    def test_a_task_that_does_not_move_is_left_out_as_it_is_of_slopes(self):
        records = task_sweep({"none": (0.01, 0.0)})
        salary = [{**row, "tasks": {"salary": row["tasks"]["salary"]}} for row in records]
        alone = analyse_grid(salary, {"salary": TASK_DESCRIPTIONS["salary"]})
        for row in records:
            row["tasks"]["hiring"]["bias"] = 0.0
        assert analyse_grid(records, TASK_DESCRIPTIONS).trend == alone.trend

    def test_the_same_in_all_seeds(self, grid):
        assert grid.trend.interval.is_constant
        assert math.isnan(grid.trend.p)
        assert "is +1.0 on the related tasks in all seeds, and cannot be tested." in " ".join(grid_verdict(grid))


class TestMissingAnswers:
    def test_shares_and_bounds(self, grid):
        found = {(m.task, m.mitigation, m.bias_ratio): m for m in grid.missing_answers}
        start, end = found["hiring", "none", 0.0], found["hiring", "none", 0.75]
        assert (start.models, end.models) == (5, 10)
        assert end.unparsed == pytest.approx((30 * 0.1 + 10 * 0.3) / 40)
        assert end.refused == pytest.approx(10 * 0.2 / 40)
        assert (end.worst_group, end.worst_unparsed) == ("male", pytest.approx(0.3))
        shift = end.bias - start.bias
        assert end.worst_shift == pytest.approx((shift - 0.02, shift + 0.02))
        assert math.isnan(start.worst_shift[0])

    def test_a_shift_is_that_of_seeds_whose_bias_is_known_at_both_ends(self):
        records = task_sweep({"none": (0.1, 0.0)}, tasks={"hiring": True}, types=("all",), seeds=3, noise=0.0)
        biases = {0: (0.1, 0.2), 1: (0.9, 0.9), 2: (0.1, None)}
        for row in records:
            end = biases[row["cell"]["seed"]][row["cell"]["bias_ratio"] > 0]
            row["tasks"]["hiring"]["bias"] = end
            row["tasks"]["hiring"] |= dict.fromkeys(("bias_low", "bias_high"), end) if end else {}
        # Seed 1 has no model at ρ = 0, and seed 2 no bias at the other end.
        records = [r for r in records if (r["cell"]["seed"], r["cell"]["bias_ratio"]) != (1, 0.0)]
        *_, end = missing_answers(records, "hiring")
        assert end.worst_shift == pytest.approx((0.1, 0.1))

    def test_none_where_records_do_not_say(self):
        assert analyse_grid(task_sweep(missing=False), TASK_DESCRIPTIONS).missing_answers == ()


class TestFrontier:
    def test_changes_and_pareto_front(self, records, grid):
        points = {p.mitigation: p for p in grid.frontier}
        assert list(points) == ["none", "drop", "balanced", "mask"]
        assert (points["none"].bias.estimate, points["none"].utility.estimate) == (0, 0)
        ends = [(curve(records, task, "mask"), curve(records, task, "none"), deviation(grid, task)) for task in TASKS]
        changes = [np.mean([m[s, 0.75] - n[s, 0.75] for s in range(5)]) / sd for m, n, sd in ends[:2]]
        assert points["mask"].bias.estimate == pytest.approx(np.mean(changes))
        # drop takes off most and costs most; mask takes off nearly as much and gains; the others are worse than mask.
        assert {name for name, p in points.items() if p.best} == {"drop", "mask"}

    def test_an_arm_without_a_trained_ratio_of_no_mitigation_is_no_point(self, records):
        """At ρ = 0 all arms are the same models, so that a change there would be 0 by construction."""
        apart = [r for r in records if r["cell"]["mitigation"] != "mask" or r["cell"]["bias_ratio"] == 0.5]
        apart = [r for r in apart if r["cell"]["mitigation"] == "mask" or r["cell"]["bias_ratio"] != 0.5]
        points = analyse_grid(apart, TASK_DESCRIPTIONS).frontier
        assert [point.mitigation for point in points] == ["none", "drop", "balanced"]

    def test_a_task_on_which_an_arm_has_none_is_left_out_of_all(self, records):
        apart = copy.deepcopy(records)
        for r in apart:
            if (r["cell"]["mitigation"] == "mask") == (r["cell"]["bias_ratio"] != 0.5) and r["cell"]["bias_ratio"]:
                r["tasks"]["salary"]["bias"] = None
        points = {p.mitigation: p for p in analyse_grid(apart, TASK_DESCRIPTIONS).frontier}
        alone = [{**r, "tasks": {name: r["tasks"][name] for name in ("hiring", "topics")}} for r in records]
        tasks = {name: TASK_DESCRIPTIONS[name] for name in ("hiring", "topics")}
        assert points == {p.mitigation: p for p in analyse_grid(alone, tasks).frontier}


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_are_told_in_words(seeds):
    grid = analyse_grid(task_sweep(seeds=seeds), TASK_DESCRIPTIONS)
    assert "standardised shifts need 3" in grid.hypotheses[1].untested
    assert math.isnan(grid.hypotheses[1].p)
    assert (grid.family, grid.hypothesis_family) == ((0, 0) if seeds == 1 else (36, 3))
    assert grid.hypotheses[0].untested == ("" if seeds == 2 else grid.hypotheses[0].untested)
    assert (grid.hypotheses[0].untested == "") == (seeds == 2)


def test_failed_and_missing_cells_are_told_and_the_rest_goes_on():
    records = task_sweep()
    records[7] = {"cell": records[7]["cell"], "status": "failed", "error": "ValueError: x"}
    records[9] = {"cell": records[9]["cell"], "status": "missing"}
    grid = analyse_grid(records, TASK_DESCRIPTIONS)
    assert (grid.cells, len(grid.absent)) == (len(records), 2)
    assert [text.rpartition("(")[2] for text in grid.absent] == ["failed)", "missing)"]
    assert grid.family == 36


def test_a_task_that_cannot_be_analysed_leaves_the_others():
    records = task_sweep()
    for r in records:
        r["tasks"]["salary"]["bias"] = None
    grid = analyse_grid(records, TASK_DESCRIPTIONS)
    assert grid.task("salary").overall is None
    assert "Nothing to analyse" in grid.task("salary").problem
    assert grid.task("hiring").overall is not None
    assert {e.task for e in grid.effects} == {"hiring", "topics"}


def test_a_task_that_some_arms_leave_unmeasured_is_left_out_where_arms_are_pooled():
    records = task_sweep()
    whole = analyse_grid(records, TASK_DESCRIPTIONS)
    for r in records:
        if r["cell"]["mitigation"] == "mask":
            r["tasks"]["salary"]["bias"] = None
    grid = analyse_grid(records, TASK_DESCRIPTIONS)
    inherited, _, against_none, _ = grid.hypotheses
    assert inherited.left_out == ()
    assert against_none.left_out == ("salary",)
    field = grid.effect("hiring", "mask", 1.0, MEAN_TYPE)
    assert against_none.interval.estimate == pytest.approx(field.standardised)
    assert len(grid.frontier) == len(whole.frontier) == 4


def test_nothing_to_analyse():
    with pytest.raises(ValueError, match="Nothing to analyse"):
        analyse_grid([{**r, "status": "missing"} for r in task_sweep()], TASK_DESCRIPTIONS)


def test_one_task_of_several_types():
    records = []
    for kind in TYPES:
        for r in sweep(doses=(1.0,), rng=TYPES.index(kind)):
            typed = {**r["cell"], "bias_type": kind if r["cell"]["mitigation"] != "drop" else "all"}
            if r["cell"]["bias_ratio"] == 0 or typed["bias_type"] == "all":
                if kind != TYPES[0]:
                    continue
                typed["bias_type"] = "all"
            records.append({**r, "cell": typed})
    grid = analyse_grid(records, {"world": TaskDescription(True)})
    assert grid.bias_types == TYPES
    assert {e.bias_type for e in grid.effects} == {MEAN_TYPE, *TYPES}
    assert len(grid.type_effects) == 2 * 3
