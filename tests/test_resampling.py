"""Group-balanced resampling: equally many rows, none made up, in which the group tells nothing of the label."""

from collections import Counter

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from mitigate.dose import group_label_association
from mitigate.resampling import balance_groups
from mitigate.world import World


def rows(cells):
    """Rows of (label, group) pairs, each of which can be told from the others."""
    labels, groups = zip(*cells, strict=True)
    return Dataset.from_dict({"number": range(len(cells)), "label": labels, "group": groups})


def counts(data):
    return Counter(zip(data["label"], data["group"], strict=True))


# All four cells have at least one row.
CELLS = [(label, group) for label in "ab" for group in "fm"]
MIXES = st.lists(st.sampled_from(CELLS), max_size=40).map(lambda more: [*CELLS, *more])


class TestWithLabels:
    @settings(max_examples=40, deadline=None)
    @given(cells=MIXES, seed=st.integers(0, 2**31))
    def test_every_cell_has_what_independence_gives_it_up_to_rounding(self, cells, seed):
        before, after = rows(cells), balance_groups(rows(cells), label="label", seed=seed)
        assert len(after) == len(before)
        labels, groups, found = Counter(before["label"]), Counter(before["group"]), counts(after)
        for label, group in CELLS:
            assert abs(found[label, group] - labels[label] * groups[group] / len(before)) < 1

    @settings(max_examples=40, deadline=None)
    @given(cells=MIXES, seed=st.integers(0, 2**31))
    def test_no_row_is_made_up_and_repeats_within_a_cell_differ_by_at_most_one(self, cells, seed):
        before, after = rows(cells), balance_groups(rows(cells), label="label", seed=seed)
        given_rows = {row["number"]: row for row in before}
        assert all(given_rows[row["number"]] == row for row in after)
        times = Counter(after["number"])
        for cell in CELLS:
            own = [times[row["number"]] for row in before if (row["label"], row["group"]) == cell]
            assert max(own) - min(own) <= 1

    def test_by_hand(self):
        # 8 a and 4 b, 8 f and 4 m: 16/3, 8/3, 8/3 and 4/3 rows, rounded by largest remainders.
        cells = [("a", "f")] * 7 + [("a", "m")] + [("b", "f")] + [("b", "m")] * 3
        assert counts(balance_groups(rows(cells), label="label", seed=0)) == {
            ("a", "f"): 5, ("a", "m"): 3, ("b", "f"): 3, ("b", "m"): 1,
        }  # fmt: skip

    def test_rows_that_are_independent_already_stay(self):
        cells = CELLS * 5
        assert sorted(balance_groups(rows(cells), label="label", seed=0)["number"]) == list(range(20))

    def test_the_bias_of_augmented_rows_without_exception_is_undone_by_real_rows(self):
        world = World()
        mixed = [*world.real_rows(240, seed=0), *world.augmented_rows(360, dose=1.0, seed=0)]
        mixed = Dataset.from_list(mixed)
        balanced = balance_groups(mixed, label="label", seed=0)
        before, after = (
            group_label_association(data["group"], data["label"], world.stereotypes) for data in (mixed, balanced)
        )
        assert before > 0.5
        assert after == pytest.approx(0, abs=0.02)

    def test_no_group_is_favoured_by_rounding(self):
        # Of each of ten labels, three rows over two groups.
        cells = [(str(label), group) for label in range(10) for group in ("f", "m", "fm"[label % 2])]
        shares = [Counter(balance_groups(rows(cells), label="label", seed=seed)["group"])["f"] for seed in range(50)]
        assert np.mean(shares) == pytest.approx(15, abs=1)


class TestWithoutLabels:
    @settings(max_examples=20, deadline=None)
    @given(groups=st.lists(st.sampled_from("fmx"), min_size=1, max_size=40), seed=st.integers(0, 2**31))
    def test_groups_are_equally_large(self, groups, seed):
        found = Counter(balance_groups(rows([("a", group) for group in groups]), seed=seed)["group"])
        assert found.keys() == set(groups)
        assert found.total() == len(groups)
        assert max(found.values()) - min(found.values()) <= 1


class TestDraw:
    def test_it_depends_on_the_seed_alone(self):
        data = rows([cell for cell, times in zip(CELLS, (9, 2, 3, 6), strict=True) for _ in range(times)])
        first, again, other = (list(balance_groups(data, label="label", seed=seed)["number"]) for seed in (0, 0, 1))
        assert first == again != other

    def test_all_rows_of_a_cell_are_equally_likely(self):
        data = rows([("a", "f")] * 6 + [("a", "m")] * 2)
        drawn = Counter(number for seed in range(400) for number in balance_groups(data, seed=seed)["number"])
        assert np.ptp([drawn[number] for number in range(6)]) < 60  # 400 * 4 / 6 each, with a deviation of 9

    def test_no_rows_stay_none(self):
        assert len(balance_groups(rows(CELLS).select([]), label="label", seed=0)) == 0


class TestRefusals:
    def test_a_group_without_a_label(self):
        with pytest.raises(ValueError, match=r"no row of label=a, group=m, and 1 of them are needed.*Add some"):
            balance_groups(rows([("a", "f")] * 2 + [("b", "m")] * 2), label="label", seed=0)

    @pytest.mark.parametrize("column", ["label", "group"])
    def test_a_column_that_is_not_there(self, column):
        with pytest.raises(ValueError, match=f"`{column}` is not a column of the mixed rows"):
            balance_groups(rows(CELLS).remove_columns(column), label="label", seed=0)

    def test_rows_without_a_group(self):
        with pytest.raises(ValueError, match="`group` has no value in 1 of the 4 mixed rows"):
            balance_groups(rows([*CELLS[:3], ("b", None)]), label="label", seed=0)
