import math
import random
import re

import numpy as np
import pytest
from scipy.stats import spearmanr, ttest_1samp

from mitigate import stats
from mitigate.analysis import analyse
from mitigate.report.verdict import verdict
from tests.sweeps import EFFECTS, LABELS, RATIOS, record, sweep


def said(records, start):
    """The one sentence of the verdict that begins so."""
    sentences = [sentence for sentence in verdict(analyse(records, labels=LABELS)) if sentence.startswith(start)]
    assert len(sentences) == 1, verdict(analyse(records, labels=LABELS))
    return sentences[0]


def bias_of(records, mitigation, dose, ratio):
    return {
        r["cell"]["seed"]: r["metrics"]["bias"]
        for r in records
        if (r["cell"]["mitigation"], r["cell"]["dose"], r["cell"]["bias_ratio"]) == (mitigation, dose, ratio)
    }


class TestAnalyse:
    def test_arms_and_points(self):
        analysis = analyse(sweep(subgroups=True), labels=LABELS)
        assert [(arm.mitigation, arm.dose) for arm in analysis.arms] == [
            ("none", 1.0),
            ("drop", 1.0),
            ("mask", 1.0),
            ("none", 0.0),
            ("drop", 0.0),
            ("mask", 0.0),
        ]
        assert analysis.ratios == RATIOS
        assert analysis.seeds == (0, 1, 2, 3, 4)
        assert (analysis.slope_family, analysis.contrast_family) == (6, 5)
        for arm in analysis.arms:
            assert list(arm.curves) == ["bias", "utility", "bias/Brazil", "bias/Iran"]
            assert [point.bias_ratio for point in arm.curves["bias"]] == list(RATIOS)
            assert arm.curves["bias"][0] == analysis.arms[0].curves["bias"][0]
        assert analysis.label("bias/Brazil") == "TPR gap / Brazil"
        assert analysis.label("other") == "other"

    def test_numbers_against_a_direct_computation(self):
        records = sweep()
        analysis = analyse(records)
        mask, none = analysis.arm("mask", 1.0), analysis.arm("none", 1.0)
        start, end, end_none = (
            bias_of(records, *place) for place in [("none", 0.0, 0.0), ("mask", 1.0, 0.75), ("none", 1.0, 0.75)]
        )
        mean = {name: np.mean(list(values.values())) for name, values in [("0", start), ("m", end), ("n", end_none)]}
        assert mask.comparison.removed.estimate == pytest.approx(1 - (mean["m"] - mean["0"]) / (mean["n"] - mean["0"]))
        assert mask.comparison.bias_ratio == 0.75
        slopes = []
        for mitigation in ("none", "mask"):
            places = [("none", 0.0, 0.0), *((mitigation, 1.0, ratio) for ratio in RATIOS[1:])]
            curve = [bias_of(records, *place) for place in places]
            slopes.append([np.polyfit(RATIOS, [at[seed] for at in curve], 1)[0] / 10 for seed in range(5)])
        assert none.slope.estimate == pytest.approx(np.mean(slopes[0]))
        expected = stats.mean_interval([a - b for a, b in zip(*slopes, strict=True)])
        assert mask.comparison.slope.interval.low == pytest.approx(expected.low)
        assert none.slope.estimate == pytest.approx(0.01, abs=0.001)
        assert none.slope_sd == pytest.approx(np.std(slopes[0], ddof=1))
        assert none.p == pytest.approx(ttest_1samp(slopes[0], 0).pvalue)
        assert none.p_holm >= none.p
        assert none.trend.estimate > 0.9

    def test_trend_against_scipy(self):
        arm = analyse(sweep(noise=0.05)).arm("none", 1.0)
        values = [[dict(point.values)[seed] for point in arm.curves["bias"]] for seed in range(5)]
        trends = [spearmanr(RATIOS, own).statistic for own in values]
        assert arm.trend.estimate == pytest.approx(np.mean(trends))
        assert -1 <= arm.trend.low < arm.trend.high <= 1
        assert arm.trend_p == pytest.approx(ttest_1samp(trends, 0).pvalue)

    def test_inheritance_coefficient_is_the_shift_per_shift_of_the_rows(self):
        records = sweep({"none": (0.1, 0.0), "drop": (0.0, 0.0), "mask": (0.02, 0.0)}, noise=0.001)
        for r in records:
            cell = r["cell"]
            dose = 0.0 if cell["mitigation"] == "drop" else cell["dose"]
            r["metrics"]["data_bias"] = 0.5 * dose * cell["bias_ratio"] + 0.01 * cell["seed"]
        analysis = analyse(records)
        for name, slope in (("none", 0.1), ("mask", 0.02)):
            found = analysis.arm(name, 1.0).coefficient
            assert found.estimate == pytest.approx(slope / 0.5, abs=0.01)
            assert found.low < slope / 0.5 < found.high
        assert analysis.arm("drop", 1.0).coefficient is None
        assert analysis.arm("none", 0.0).coefficient is None
        assert analyse(sweep()).arm("none", 1.0).coefficient is None

    def test_what_can_be_detected(self):
        """Of slopes that vary as these do, with the correction for all slopes of the analysis."""
        analysis = analyse(sweep())
        arm = analysis.arm("mask", 1.0)
        expected = stats.minimal_detectable_effect(arm.slope_sd, 5, alpha=0.05 / 6)
        assert analysis.detectable(arm) == expected
        assert math.isnan((single := analyse(sweep(seeds=1))).detectable(single.arms[0]))

    def test_the_order_of_records_is_no_matter(self):
        records = sweep()
        shuffled = random.Random(0).sample(records, len(records))
        assert analyse(records) == analyse(shuffled)

    def test_removed_is_undefined_without_a_shift(self):
        for slope in (0.0, -0.1):  # nothing inherited; bias falls
            effects = {"none": (slope, 0.0), "mask": (0.0, 0.0)}
            assert analyse(sweep(effects, doses=(1.0,))).arm("mask", 1.0).comparison.removed is None

    def test_a_missing_cell_does_not_tilt_the_contrast(self):
        """On a bent curve, slopes over different ratios differ though the arms are the same."""
        records = [
            record(
                ratio, m if ratio else "none", 1.0 if ratio else 0.0, seed, bias=0.1 * ratio**3 + 0.01 * seed * ratio
            )
            for seed in range(5)
            for ratio in RATIOS
            for m in (("none", "mask") if ratio else ("none",))
        ]
        del records[-1]  # mask, ρ = 0.75, seed 4
        assert analyse(records).arm("mask", 1.0).comparison.slope.interval.estimate == 0

    def test_records_that_cannot_be_used_are_counted(self):
        records = sweep()
        records[1]["status"] = "failed"
        records[2]["metrics"]["bias"] = math.nan
        cell = records.pop(3)["cell"]
        analysis = analyse(records)
        assert [text.rsplit("(")[1] for text in analysis.excluded] == ["bias not finite)", "failed)"]
        assert analysis.missing == (
            f"{cell['mitigation']}, β = {cell['dose']:g}, ρ = {cell['bias_ratio']:g}, seed {cell['seed']}",
        )
        assert analysis.records == len(records) - 2

    def test_a_further_metric_that_is_not_finite_is_left_out(self):
        records = [*sweep(), record(0.9, "none", 1.0, 0, extra=math.inf, words="x", flag=True)]
        assert set(analyse(records).arms[0].curves) == {"bias", "utility"}

    def test_ratios_that_differ_by_rounding_are_one(self):
        records = [record(0.0), record(0.1 + 0.2, "none", 1.0), record(0.0, seed=1), record(0.3, "none", 1.0, 1)]
        assert analyse(records).ratios == (0.0, 0.3)

    @pytest.mark.parametrize(
        ("records", "message"),
        [
            ([], "of 0 records none is finished"),
            ([record(0.0, status="failed")], "of 1 records none is finished"),
            ([record(0.5, "none", 1.0)], r"No finished record at bias ratio 0 \(ratios: 0.5\)"),
            ([record(0.0)], "All finished records have bias ratio 0"),
            ([record(0.0), record(0.0)], r"Two records of the cell \(ρ = 0, seed 0\)"),
            ([record(0.0, "mask")], 'has mitigation "mask" and dose 0'),
            ([{"cell": {"seed": 1}}], "lacks dose, mitigation, bias_ratio; it has: seed"),
            ([{"cell": record(0.0)["cell"], "status": "done", "metrics": {"utility": 1}}], "no metric bias; it has"),
        ],
    )
    def test_errors(self, records, message):
        with pytest.raises(ValueError, match=message):
            analyse(records)


class TestVerdict:
    def test_inherited(self):
        sentence = said(sweep(), "Bias is inherited at β = 1: without mitigation the TPR gap grows by 0.0")
        assert "per +0.10 of bias ratio (95% interval [0.0" in sentence
        assert "5 seeds, Holm-corrected p " in sentence

    def test_bias_that_falls(self):
        assert "shrinks by" in said(sweep({"none": (-0.1, 0.0)}), "Bias falls at β = 1")

    def test_not_detected(self):
        sentence = said(sweep({"none": (0.0, 0.0)}, noise=0.01), "Inheritance at β = 1 is not detected")
        assert re.search(r"a slope of 0\.\d+ per \+0\.10 of bias ratio is detected 80 times out of 100", sentence)
        assert sentence.endswith("every slope inside the interval remains possible.")
        assert re.search(r"the trend \(rank correlation .*\) is \+0\.\d+ \[.*\] \(p = 0\.\d+, not", sentence)
        assert "no effect" not in sentence

    def test_suggested(self):
        """A slope that its own interval sets apart from 0, but not the correction for eight slopes."""
        effects = {"none": (0.02, 0.0), **dict.fromkeys(("token", "mask", "loss"), (0.0, 0.0))}
        sentence = said(sweep(effects, noise=0.005, rng=1), "Inheritance at β = 1 is suggested but not established")
        assert "remains possible" not in sentence

    def test_a_fall_may_be_suggested_only(self):
        effects = {"none": (-0.02, 0.0), **dict.fromkeys(("token", "mask", "loss"), (0.0, 0.0))}
        said(sweep(effects, noise=0.005, rng=3), "A fall of bias at β = 1 is suggested but not established")

    def test_few_seeds(self):
        assert "3 seeds, fewer than 5" in said(sweep(seeds=3), "Few seeds")

    def test_neighbours_that_resemble_each_other_are_no_evidence(self):
        """Values that wander over the ratios, in each seed in a direction of its own, so that their mean stays."""
        slopes = (0.1, -0.1, 0.1, -0.1, 0.05, -0.05)
        records = [
            record(ratio, "none", 1.0 if ratio else 0.0, seed, bias=0.1 + slope * ratio)
            for seed, slope in enumerate(slopes)
            for ratio in RATIOS
        ]
        said(records, "Inheritance at β = 1 is not detected")

    def test_one_seed_claims_nothing(self):
        records = sweep(seeds=1)
        said(records, "Inheritance at β = 1 is not tested: without mitigation 1 seed gave a slope")
        said(records, "The null arm (β = 0) is not tested: 1 seed gave a slope")
        said(records, "What mask (β = 1) changes is not tested")
        said(records, "The slope at β = 1 cannot be compared")

    def test_null_arm(self):
        said(sweep(), "In the null arm a slope is not detected")
        said(sweep(), "An effect of the biased content itself is detected: the slope at β = 1 lies")
        tilted = sweep(null=0.1)
        assert "cannot be put down to biased content alone" in said(tilted, "The null arm is not flat")
        assert "adds more than the slope without mitigation shows" in said(sweep(null=-0.1), "The null arm falls")
        same = sweep({"none": (0.0, 0.0)}, null=0.1)
        said(same, "An effect of the biased content itself is not detected")
        said(sweep(doses=(1.0,)), "There is no null arm")

    def test_mitigation_that_helps(self):
        sentence = said(sweep(), "mask (β = 1) reduces inheritance: its slope lies")
        assert "below that of no mitigation" in sentence
        assert "%] of the inherited TPR gap at ρ = 0.75" in sentence
        assert "bias is still inherited under it" in sentence
        assert "a change of accuracy at ρ = 0.75 is not detected" in sentence

    def test_mitigation_that_costs(self):
        sentence = said(sweep(), "drop (β = 1) reduces inheritance")
        assert re.search(r"its own slope, \S+ \[\S+ \S+\], is not detected", sentence)
        assert "it costs 0.0" in sentence
        assert "gains" in said(sweep({**EFFECTS, "drop": (0.0, 0.08)}), "drop (β = 1)")

    def test_mitigation_that_overshoots(self):
        sentence = said(sweep({**EFFECTS, "mask": (-0.1, 0.0)}), "mask (β = 1) reduces inheritance")
        assert "ending below the level of real rows alone; bias falls under it" in sentence

    def test_mitigation_without_effect(self):
        assert "not detected" in said(sweep({**EFFECTS, "mask": (0.1, -0.02)}), "An effect of mask (β = 1)")

    def test_mitigation_that_harms(self):
        assert "above that of no mitigation" in said(sweep({**EFFECTS, "mask": (0.2, 0.0)}), "mask (β = 1) does harm")

    def test_mitigation_that_never_acted(self):
        records = [r for r in sweep() if r["cell"]["mitigation"] == "none"]
        copies = [
            record(r["cell"]["bias_ratio"], "mask", 1.0, r["cell"]["seed"], **r["metrics"])
            for r in records
            if r["cell"]["dose"] == 1
        ]
        said([*records, *copies], "mask (β = 1) changed nothing: every model has exactly the TPR gap and accuracy")

    def test_share_removed_may_be_undefined(self):
        sentence = said(sweep({"none": (0.0, 0.0), "mask": (-0.1, 0.0)}), "mask (β = 1) reduces inheritance")
        assert "the share removed is undefined, as no growth is detected at ρ = 0.75" in sentence

    def test_without_the_unmitigated_arm(self):
        records = [r for r in sweep() if r["cell"]["bias_ratio"] == 0 or r["cell"]["mitigation"] == "mask"]
        said(records, "What mask (β = 1) changes cannot be told")

    def test_incomplete_sweep(self):
        records = sweep()
        for r in records[1:8]:
            r["status"] = "failed"
        sentence = said(records, "Incomplete sweep: 7 of 95 cells left out of the analysis: ")
        assert sentence.count("(failed)") == 5
        assert sentence.endswith("; and 2 more.")

    def test_complete_sweeps_of_five_seeds_warn_of_nothing(self):
        sentences = verdict(analyse(sweep()))
        assert not [s for s in sentences if s.startswith(("Few seeds", "Incomplete"))]
        assert "t tests of 6 slopes, paired t tests of 5 differences" in sentences[-1]


def test_a_mitigation_is_set_beside_its_control():
    effects = {"none": (0.10, 0.0), "loss": (0.02, 0.0), "loss-shuffled": (0.06, 0.0)}
    analysis = analyse(sweep(effects))
    loss, control = analysis.arm("loss", 1.0), analysis.arm("loss-shuffled", 1.0)
    assert loss.control.interval.estimate == pytest.approx(control.slope.estimate - loss.slope.estimate)
    assert loss.control.interval.estimate == pytest.approx(0.004, abs=1e-3)
    assert control.is_control and control.control is None
    # Two doses, two comparisons each, one control each, and the biased content of the unmitigated arm.
    assert analysis.contrast_family == 7


def test_the_verdict_says_what_a_mitigation_owes_to_its_aim_and_leaves_out_the_control():
    aimed = {"none": (0.10, 0.0), "loss": (0.02, 0.0), "loss-shuffled": (0.06, 0.0)}
    aimless = {"none": (0.10, 0.0), "loss": (0.02, 0.0), "loss-shuffled": (0.02, 0.0)}
    sentences = verdict(analyse(sweep(aimed, seeds=8)))
    assert any("effect comes from acting on augmented rows is detected" in sentence for sentence in sentences)
    assert not any(sentence.startswith("loss-shuffled") for sentence in sentences)
    sentences = verdict(analyse(sweep(aimless, seeds=8)))
    assert any("effect comes from acting on augmented rows is not detected" in sentence for sentence in sentences)
