"""Matched controls: known pairs, and what must hold for all."""

import json
import math

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rich.console import Console
from scipy.optimize import linear_sum_assignment

from mitigate.controls import match_controls


def rows(lengths, **columns):
    return Dataset.from_dict({"length": [float(length) for length in lengths], **columns})


def pairs(matched):
    assert list(matched.real["pair"]) == list(matched.augmented["pair"]) == list(range(len(matched.real)))
    return list(zip(matched.augmented["length"], matched.real["length"], strict=True))


def slow_greedy(real, augmented, limit):
    """Make the closest pair of all, again and again."""
    free_real, free_augmented, made = set(range(len(real))), set(range(len(augmented))), set()
    while True:
        options = [(np.abs(real[r] - augmented[a]).max(), a, r) for a in free_augmented for r in free_real]
        if not options or min(options)[0] > limit:
            return made
        _, a, r = min(options)
        made.add((a, r))
        free_augmented.remove(a)
        free_real.remove(r)


class TestPairs:
    def test_by_hand(self):
        # Pooled variance (1000 + 1000) / 2 over four rows: the caliper of 0.2 deviations is 6.3.
        real, augmented = rows([0, 20, 40, 60]), rows([5, 27, 41, 65])
        deviation = np.sqrt((np.var([0, 20, 40, 60], ddof=1) + np.var([5, 27, 41, 65], ddof=1)) / 2)
        assert 5 < 0.2 * deviation < 7
        matched = match_controls(real, augmented, covariates=["length"])
        assert pairs(matched) == [(5, 0), (41, 40), (65, 60)]
        (stratum,) = matched.balance.strata
        assert (stratum.pairs, stratum.no_real, stratum.too_far, stratum.taken) == (3, 0, 1, 0)

    def test_the_closest_pair_comes_first_and_who_is_left_is_told_why(self):
        real, augmented = rows([10, 100, 200]), rows([11, 13, 150])
        matched = match_controls(real, augmented, covariates=["length"])
        assert pairs(matched) == [(11, 10)]
        (stratum,) = matched.balance.strata
        assert (stratum.taken, stratum.too_far, stratum.dropped) == (1, 1, 2)

    def test_exact_columns(self):
        real = rows([1, 2, 3, 9], label=["x", "y", "x", "x"], topic=[0, 0, 1, 1])
        augmented = rows([8, 3, 90, 2], label=["x", "x", "y", "y"], topic=[1, 1, 0, 1])
        matched = match_controls(real, augmented, covariates=["length"], exact=["label", "topic"], caliper=1)
        assert pairs(matched) == [(8, 9), (3, 3)]
        drops = {stratum.stratum: stratum for stratum in matched.balance.strata}
        assert sorted(drops) == ["label=x, topic=1", "label=y, topic=0", "label=y, topic=1"]
        assert drops["label=y, topic=1"].no_real == 1
        assert drops["label=y, topic=0"].too_far == 1

    @settings(max_examples=60, deadline=None)
    @given(seed=st.integers(0, 2**31), sizes=st.tuples(st.integers(2, 25), st.integers(2, 25)))
    def test_against_the_slow_way(self, seed, sizes):
        draws = np.random.default_rng(seed)  # continuous, so that no distances tie
        sides = [draws.normal(size=(size, 2)) for size in sizes]
        deviations = np.sqrt((sides[0].var(axis=0, ddof=1) + sides[1].var(axis=0, ddof=1)) / 2)
        scaled = [points / deviations for points in sides]
        distances = np.sort([np.abs(r - a).max() for r in scaled[0] for a in scaled[1]])
        assume(np.diff(distances).min() > 1e-5 and np.abs(distances - 1).min() > 1e-5)
        real, augmented = (Dataset.from_dict({"x": p[:, 0], "y": p[:, 1], "row": range(len(p))}) for p in sides)
        expected = slow_greedy(*scaled, limit=1)
        if not expected:
            with pytest.raises(ValueError, match="No augmented row has a real row within 1 standard deviations"):
                match_controls(real, augmented, covariates=["x", "y"], caliper=1)
            return
        matched = match_controls(real, augmented, covariates=["x", "y"], caliper=1)
        assert set(zip(matched.augmented["row"], matched.real["row"], strict=True)) == expected

    @settings(max_examples=60, deadline=None)
    @given(
        real=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), min_size=2, max_size=40),
        augmented=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), min_size=2, max_size=40),
        caliper=st.floats(0.05, 3),
    )
    def test_each_row_once_within_the_caliper_and_of_one_label(self, real, augmented, caliper):
        tables = [
            Dataset.from_dict(
                {"length": [length for length, _ in side], "label": [x for _, x in side], "row": range(len(side))}
            )
            for side in (real, augmented)
        ]
        lengths = [np.array(table["length"], float) for table in tables]
        deviation = np.sqrt(sum(length.var(ddof=1) for length in lengths) / 2)
        try:
            matched = match_controls(*tables, covariates=["length"], exact=["label"], caliper=caliper)
        except ValueError as error:
            assert deviation == 0 or "No augmented row has a real row" in str(error)
            return
        sides = matched.real, matched.augmented
        assert all(len(set(side["row"])) == len(side) for side in sides)
        assert list(sides[0]["label"]) == list(sides[1]["label"])
        distances = np.abs(np.array(sides[0]["length"]) - np.array(sides[1]["length"]))
        assert (distances <= caliper * deviation).all()
        assert sum(stratum.pairs + stratum.dropped for stratum in matched.balance.strata) == len(augmented)
        # No pair that could still be made is left out.
        left = [
            table.filter(lambda row, made=set(side["row"]): row["row"] not in made)
            for table, side in zip(tables, sides, strict=True)
        ]
        for r in left[0]:
            for a in left[1]:
                assert r["label"] != a["label"] or abs(r["length"] - a["length"]) > caliper * deviation * (1 - 1e-5)

    def test_not_many_fewer_pairs_than_could_be_made(self):
        draws = np.random.default_rng(0)
        real, augmented = draws.normal(size=(300, 2)), draws.normal(0.3, 1, size=(300, 2))
        matched = match_controls(
            *(Dataset.from_dict({"x": p[:, 0], "y": p[:, 1]}) for p in (real, augmented)), covariates=["x", "y"]
        )
        deviations = np.sqrt((real.var(axis=0, ddof=1) + augmented.var(axis=0, ddof=1)) / 2)
        distances = np.abs(real[:, None] / deviations - augmented[None] / deviations).max(axis=-1)
        best = linear_sum_assignment(np.where(distances <= 0.2, distances - 1e3, 0))
        most = int((distances[best] <= 0.2).sum())
        assert 0.85 * most <= len(matched.real) <= most

    def test_the_order_of_the_rows_is_no_matter(self):
        draws = np.random.default_rng(1)
        real, augmented = rows(draws.normal(size=50)), rows(draws.normal(size=50))
        first = pairs(match_controls(real, augmented, covariates=["length"]))
        other = pairs(match_controls(real.shuffle(seed=0), augmented.shuffle(seed=1), covariates=["length"]))
        assert sorted(first) == sorted(other)


class TestBalance:
    def test_by_hand(self):
        # Real 0, 2, 4, 100: mean 26.5. Augmented 1, 3, 50, 99: mean 38.25.
        real, augmented = [0.0, 2.0, 4.0, 100.0], [1.0, 3.0, 50.0, 99.0]
        matched = match_controls(rows(real), rows(augmented), covariates=["length"])
        (row,) = matched.balance.covariates
        deviation = math.sqrt((np.var(real, ddof=1) + np.var(augmented, ddof=1)) / 2)
        assert row.difference_before == pytest.approx((38.25 - 26.5) / deviation)
        assert row.variance_ratio_before == pytest.approx(np.var(augmented, ddof=1) / np.var(real, ddof=1))
        kept = np.array(pairs(matched))
        assert sorted(kept[:, 0]) == [1, 3, 99]
        assert row.difference_after == pytest.approx((kept[:, 0].mean() - kept[:, 1].mean()) / deviation)
        assert row.balanced == matched.balance.balanced == (abs(row.difference_after) < 0.1)

    def test_rows_that_differ_are_balanced_by_matching(self):
        draws = np.random.default_rng(0)
        real, augmented = rows(draws.normal(0, 1, 3000)), rows(draws.normal(0.5, 0.8, 1000))
        balance = match_controls(real, augmented, covariates=["length"]).balance
        (row,) = balance.covariates
        assert abs(row.difference_before) > 0.4
        assert balance.balanced and balance.pairs > 900

    def test_a_wide_caliper_is_flagged(self):
        draws = np.random.default_rng(0)
        balance = match_controls(
            rows(draws.normal(0, 1, 200)), rows(draws.normal(1, 1, 200)), covariates=["length"], caliper=5
        ).balance
        assert not balance.balanced
        assert "NO" in drawn(balance)

    def test_table_and_dictionary(self):
        real = rows([1, 2, 3, 4], label=["[b]x"] * 4)
        augmented = rows([1.1, 2.1, 9, 4], label=["[b]x", "[b]x", "[b]x", "y"])
        balance = match_controls(real, augmented, covariates=["length"], exact=["label"]).balance
        text = drawn(balance)
        assert "label=[b]x" in text and "Balance of 2 pairs (50% of 4 augmented rows)" in text
        content = json.loads(json.dumps(balance.to_dict(), allow_nan=False))
        assert content["pairs"] == 2 and content["caliper"] == 0.2
        assert [stratum["dropped"] for stratum in content["strata"]] == [1, 1]
        assert content["covariates"][0]["name"] == "length"

    def test_one_pair_has_no_variance(self):
        balance = match_controls(rows([1, 50]), rows([1, 99]), covariates=["length"]).balance
        assert balance.to_dict()["covariates"][0]["variance_ratio_after"] is None
        assert not balance.balanced


def drawn(balance):
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(balance)
    return console.export_text()


class TestErrors:
    @pytest.mark.parametrize(
        ("real", "options", "message"),
        [
            (rows([1, 2]), {"covariates": []}, "`covariates` must list at least one"),
            (rows([1, 2]), {"covariates": "length"}, "must list at least one numeric column.*got 'length'"),
            (rows([1, 2]), {"exact": "label"}, r"`exact` must list columns, such as \['label'\], got 'label'"),
            (rows([1, 2]), {"caliper": 0}, "`caliper` must be a number above 0 and finite, got 0"),
            (rows([1, 2]), {"caliper": "0.2"}, "`caliper` must be a number above 0 and finite, got '0.2'"),
            (rows([1, 2]), {"seed": -1}, "`seed` must be a whole number in"),
            (rows([1]), {}, "at least two rows a side, got 1 real"),
            (rows([1, 2], pair=[0, 1]), {}, "`pair` is a column of the rows already"),
            (rows([1, 2]), {"covariates": ["words"]}, "`words` is not a column of the real rows"),
            (rows([1, float("inf")]), {}, "`length` is infinite or no number in 1 of the 2 real rows"),
            (Dataset.from_dict({"length": [1.0, None]}), {}, "`length` has no value in 1 of the 2 real rows"),
            (Dataset.from_dict({"length": ["a", "b"]}), {}, "must hold numbers to match on, got string"),
            (rows([100, 200]), {}, "No augmented row has a real row within 0.2.*0 have no real row there, and 2 none"),
            (rows([1, 2]), {"exact": ["label"]}, "`label` is not a column of the real rows"),
        ],
    )
    def test_what_cannot_be_matched_is_refused(self, real, options, message):
        with pytest.raises(ValueError, match=message):
            match_controls(real, rows([1, 2]), **{"covariates": ["length"], **options})

    def test_a_covariate_without_variance(self):
        with pytest.raises(ValueError, match="`length` varies neither within the real"):
            match_controls(rows([1, 1]), rows([2, 2]), covariates=["length"])
