"""Hiring and salary: known answers, orders and names."""

import math
import random
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as formulas
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, ttest_ind
from scipy.stats import t as student

from mitigate.tasks import Prompt, Source, load_task
from mitigate.tasks.panels import latin_square, load_jobs, names_by_group, panels
from mitigate.tasks.salary import parse_salary


def asked(*orders):
    return [Prompt("", choices=tuple(order), item={"groups": list(order)}) for order in orders]


class TestOrders:
    @given(st.integers(1, 12))
    def test_everyone_stands_everywhere_once(self, size):
        square = latin_square(size)
        for row in (*square, *zip(*square, strict=True)):
            assert sorted(row) == list(range(size))

    @settings(max_examples=10, deadline=None)
    @given(st.integers(0, 5), st.integers(1, 4))
    def test_hiring_balances_places_and_names(self, seed, count):
        task = load_task("hiring", seed=seed, panels_per_job=count)
        prompts = task.prompts(task.load())
        places = Counter((place, group) for p in prompts for place, group in enumerate(p.item["groups"]))
        assert len(places) == 16
        assert set(places.values()) == {len(prompts) // 4}
        assert all(name in p.text for p in prompts for name in p.choices)

    def test_no_name_comes_again_before_all_have_come(self):
        names = {"a": ["a1", "a2", "a3"], "b": ["b1", "b2"]}
        drawn = list(panels(names, 6, "key"))
        assert Counter(panel["a"] for panel in drawn) == dict.fromkeys(names["a"], 2)
        assert Counter(panel["b"] for panel in drawn) == dict.fromkeys(names["b"], 3)

    def test_candidates_differ_in_nothing_but_the_name(self):
        task = load_task("hiring", panels_per_job=1)
        prompt = task.prompts(task.load())[0]
        lines = [line for line in prompt.text.splitlines() if line.startswith("- ")]
        assert len({line.replace(n, "NAME") for line, n in zip(lines, prompt.choices, strict=True)}) == 1

    def test_a_name_of_two_groups_is_refused(self):
        with pytest.raises(ValueError, match="'Kim' is in the groups 'f' and 'm'"):
            names_by_group(Dataset.from_dict({"name": ["Kim", "Kim"], "group": ["f", "m"]}))
        with pytest.raises(ValueError, match=r"no name of group 'x' \(groups: f, m\)"):
            names_by_group(Dataset.from_dict({"name": ["A", "B"], "group": ["f", "m"]}), ("f", "x"))

    def test_a_profile_without_a_name_is_refused(self, tmp_path):
        (tmp_path / "jobs.csv").write_text("occupation,profile\nnurse,She is good.\n", encoding="utf-8")
        with pytest.raises(ValueError, match=r"no '\{name\}' in row 1"):
            load_jobs(Source(str(tmp_path / "jobs.csv")))


class TestHiring:
    task = load_task("hiring")

    def test_rates_by_hand(self):
        prompts = asked("abcd", "bcda", "cdab", "dabc", "abcd")
        scores = self.task.score(prompts, ["a", "a", "a", "b", "neither"])
        assert {group: s.value for group, s in scores.groups.items()} == {"a": 0.75, "b": 0.25, "c": 0, "d": 0}
        assert scores.bias == 0.75
        assert scores.utility == 0.8
        assert scores.details["impact_ratio"] == 0
        assert [scores.details[f"position/{i}"] for i in (1, 2, 3, 4)] == [0.25, 0, 0.5, 0.25]
        assert scores.details["position_bias"] == 0.25
        assert scores.groups["b"].bounds == (0.2, 0.4)
        assert scores.groups["b"].unparsed == 0.2
        assert scores.bias_bounds == (0.6, 0.8)  # the fifth choice goes to c or d, or to a

    def test_missing_choices_even_the_rates_out_at_best(self):
        scores = self.task.score(asked(*["ab"] * 6), ["a", "a", "b", "?", "?", "?"])
        assert scores.bias_bounds == (0, (5 - 1) / 6)

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.sampled_from(["a", "b", "?"]), min_size=1, max_size=20))
    def test_the_bounds_hold_the_gap(self, answers):
        scores = self.task.score(asked(*["ab"] * len(answers)), answers)
        low, high = scores.bias_bounds
        assert math.isnan(scores.bias) or low <= scores.bias <= high

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=60))
    def test_against_scipy(self, chosen):
        scores = self.task.score(asked(*["abcd"] * len(chosen)), chosen)
        counts = np.array([chosen.count(group) for group in "abcd"])
        test = chisquare(counts)
        assert scores.details["chi_square"] == pytest.approx(test.statistic)
        assert scores.details["p"] == pytest.approx(test.pvalue)
        assert scores.details["cramers_v"] == pytest.approx(math.sqrt(test.statistic / len(chosen) / 3))
        assert scores.details["impact_ratio"] == pytest.approx(counts.min() / counts.max())
        assert scores.bias == pytest.approx(np.ptp(counts) / len(chosen))

    def test_v_is_one_if_one_group_takes_all(self):
        assert self.task.score(asked("ab", "ba"), ["a", "a"]).details["cramers_v"] == 1

    def test_likelihoods_choose(self):
        scores = self.task.score(asked("ab", "ba"), [np.array([0.9, 0.1]), np.array([0.4, 0.6])])
        assert scores.groups["a"].value == 1
        with pytest.raises(ValueError, match=r"shape \(3,\), and its prompt has 2"):
            self.task.score(asked("ab"), [np.ones(3)])

    def names(self, rate):
        """Every name of a against every name of b; `rate` is the share of panels that each of a wins."""
        prompts, answers = [], []
        for number, share in enumerate(rate):
            for other in range(len(rate)):
                pair = (f"a{number}", f"b{other}")
                prompts.append(Prompt("", choices=pair, item={"groups": ["a", "b"]}))
                answers.append(pair[other >= round(share * len(rate))])
        return self.task.score(prompts, answers)

    def test_the_gap_over_names_by_hand(self):
        rates = [0.75, 0.5, 1.0, 0.75]
        scores = self.names(rates)
        assert scores.bias == 0.5
        # An effect is twice a rate, as each panel halves it; the groups are as far apart as their rates. Of two
        # groups, Tukey's test is a t test.
        others = [sum(other >= 4 * rate for rate in rates) / 4 for other in range(4)]
        first, second = 2 * np.array(rates), 2 * np.array(others)
        expected = ttest_ind(first - first.mean() + 0.5, second - second.mean())
        interval = expected.confidence_interval()
        found = [scores.details[name] for name in ("names_p", "gap_low", "gap_high")]
        assert found == pytest.approx([expected.pvalue, interval.low, interval.high], rel=1e-4)

    def test_names_that_decide_are_no_finding(self):
        # One popular name in a group of four: the rates differ, and as much between names as between groups.
        scores = self.names([1.0, 0.5, 0.5, 0.5])
        assert scores.bias == 0.25
        assert scores.details["names_p"] > 0.2
        assert scores.details["gap_low"] < 0 < scores.details["gap_high"]

    def test_names_that_say_nothing_of_each_other(self):
        for answered in (["a", "a"], ["?", "?"]):
            scores = self.task.score(asked("ab", "ba"), answered)
            assert math.isnan(scores.details["names_p"])
        assert math.isnan(self.names([1.0] * 4).details["names_p"])  # no name differs from another of its group

    def test_different_panels_are_refused(self):
        with pytest.raises(ValueError, match="same groups in all"):
            self.task.score(asked("ab", "ac"), ["a", "a"])


@pytest.mark.parametrize(
    ("text", "wage"),
    [
        ("$85,000", 85_000),
        ("85k", 85_000),
        ("85 K", 85_000),
        ("72500", 72_500),
        ("$60,000 - $80,000", 70_000),
        ("60-80k", 70_000),
        ("$60k–$70k a year", 65_000),
        ("$60-80,000", 70_000),
        ("£60,000", None),
        ("€85k", None),
        ("£ 60,000", None),
        ("EUR 60,000", None),
        ("60,000 euros", None),
        ("CA$60,000 to CA$70,000", None),
        ("60,000-70,000 €", None),
        ("€ 50,000 ($54,000)", 54_000),
        ("She won 60,000 dollars.", 60_000),
        ("between $60,000 and $70,000", 65_000),
        ("Offer the 35-year-old 72,500 USD.", 72_500),
        ("A 401(k) plan and $90,000", 90_000),
        ("70,000 and 5 weeks off", 70_000),
        ("USD 55,000.50", 55_000.5),
        ("10000", 10_000),
        ("1,000,000", 1_000_000),
        ("$9,999", None),
        ("$1,000,001", None),
        ("$25 per hour", None),
        ("no idea", None),
        ("35", None),
    ],
)
def test_parse_salary(text, wage):
    assert parse_salary(text) == wage


class TestSalary:
    def prompts(self, names, jobs=("x", "y")):
        return [
            Prompt("", group, item={"name": name, "job": job})
            for job in jobs
            for group, own in names.items()
            for name in own
        ]

    def test_gap_by_hand(self):
        task = load_task("salary", reference="m")
        prompts = self.prompts({"m": ["Bo"], "f": ["Ann"]})
        scores = task.score(prompts, ["$80,000", "$40,000", "$50,000", "$50,000"])
        # Mean of ln(1/2) and ln(1), so a factor of the root of 1/2.
        assert scores.details["gap/f"] == pytest.approx(100 * (math.sqrt(0.5) - 1))
        assert scores.bias == pytest.approx(-100 * (math.sqrt(0.5) - 1))
        assert scores.groups["m"].value == pytest.approx(math.sqrt(80_000 * 50_000))
        assert math.isnan(scores.details["gap_low/f"])
        assert math.isnan(scores.details["mixed_gap/f"])

    def test_pairs_by_job(self):
        task = load_task("salary", reference="m")
        prompts = self.prompts({"m": ["Bo"], "f": ["Ann"]})
        # For the second job, only one side can be read: what it says of the level of pay must not count.
        scores = task.score(prompts, ["$50,000", "$50,000", "$500,000", "?"])
        assert scores.details["gap/f"] == pytest.approx(0)
        assert scores.utility == 0.75

    def test_bounds_by_hand(self):
        task = load_task("salary", reference="m")
        scores = task.score(self.prompts({"m": ["Bo"], "f": ["Ann"]}, ["x"]), ["$100,000", "?"])
        assert math.isnan(scores.bias)
        assert scores.groups["f"].bounds == pytest.approx((10_000, 1_000_000))
        assert scores.bias_bounds == pytest.approx((-900, 90))

    def wages(self, count=10):
        task = load_task("salary", reference="m")
        names = {group: [f"{group}{i}" for i in range(count)] for group in ("m", "f")}
        prompts = self.prompts(names, ["x", "y", "z"])
        draw = random.Random(0)
        effects = {name: draw.gauss(0, 0.05) for own in names.values() for name in own}
        logs = [
            11 + effects[p.item["name"]] - 0.1 * (p.group == "f") + 0.2 * (p.item["job"] == "y") + draw.gauss(0, 0.03)
            for p in prompts
        ]
        return task, prompts, [f"${math.exp(value):,.2f}" for value in logs]

    def test_mixed_model_against_statsmodels(self):
        task, prompts, answers = self.wages()
        scores = task.score(prompts, answers)
        frame = pd.DataFrame(
            {
                "y": [math.log(parse_salary(answer)) for answer in answers],
                "f": [int(p.group == "f") for p in prompts],
                "job": [p.item["job"] for p in prompts],
                "name": [p.item["name"] for p in prompts],
            }
        )
        fit = formulas.mixedlm("y ~ f + C(job)", frame, groups=frame["name"]).fit()
        assert scores.details["mixed_gap/f"] == pytest.approx(100 * math.expm1(fit.params["f"]), rel=1e-4)
        assert scores.details["mixed_p/f"] == pytest.approx(2 * student.sf(abs(fit.tvalues["f"]), 18), rel=1e-3)
        # Each name was asked about each job, so that the plain gap is the same.
        assert scores.details["gap/f"] == pytest.approx(scores.details["mixed_gap/f"], rel=1e-4)

    @pytest.mark.parametrize("count", [3, 10])
    def test_the_interval_is_that_of_names(self, count):
        task, prompts, answers = self.wages(count)
        scores = task.score(prompts, answers)
        low, high = (math.log1p(scores.details[f"gap_{side}/f"] / 100) for side in ("low", "high"))
        means = {}
        for prompt, answer in zip(prompts, answers, strict=True):
            means.setdefault(prompt.item["name"], []).append(math.log(parse_salary(answer)))
        sides = [[np.mean(v) for name, v in means.items() if name[0] == group] for group in "fm"]
        expected = ttest_ind(*sides).confidence_interval()
        assert high - low == pytest.approx(expected.high - expected.low, rel=0.05)  # of a bootstrap
        assert low + high == pytest.approx(expected.low + expected.high)

    def test_more_answers_of_few_names_do_not_narrow_it(self):
        task = load_task("salary", reference="m")
        names = {"m": ["m1", "m2"], "f": ["f1", "f2"]}
        wage = {"m1": "$50,000", "m2": "$60,000", "f1": "$52,000", "f2": "$58,000"}
        widths = []
        for jobs in (2, 20):
            prompts = self.prompts(names, [str(job) for job in range(jobs)])
            details = task.score(prompts, [wage[p.item["name"]] for p in prompts]).details
            widths.append(details["gap_high/f"] - details["gap_low/f"])
        assert widths[0] == pytest.approx(widths[1])

    def test_groups_that_no_job_connects(self, caplog):
        task = load_task("salary", reference="m")
        prompts = self.prompts({"m": ["m1", "m2"], "f": ["f1", "f2"]})
        wages = [f"${50 + place},000" for place in range(len(prompts))]
        answers = [
            w if (p.group == "m") == (p.item["job"] == "x") else "?" for p, w in zip(prompts, wages, strict=True)
        ]
        scores = task.score(prompts, answers)
        assert all(math.isnan(value) for value in [scores.bias, *scores.details.values()])
        assert "do not connect the groups" in caplog.text

    def test_the_reference_must_be_there(self):
        with pytest.raises(ValueError, match="'x' is none of the groups"):
            (task := load_task("salary", reference="x")).prompts(task.load())
        with pytest.raises(ValueError, match="no prompt is about 'm'"):
            load_task("salary", reference="m").score([Prompt("", "f", item={"name": "A", "job": "x"})], ["$50,000"])
