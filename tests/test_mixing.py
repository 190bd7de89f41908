"""The training mix: exact bias ratios, and no row lost or doubled."""

import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from mitigate.mixing import bias_counts, mix


def rows(name, count):
    return Dataset.from_dict({"text": [f"{name} {i}" for i in range(count)]})


@given(total=st.integers(1, 10**6), ratio=st.floats(0, 1, exclude_max=True))
def test_the_bias_ratio_is_exact_to_half_a_row_and_the_mix_keeps_its_size(total, ratio):
    real, augmented = bias_counts(total, ratio)
    assert real + augmented == total
    assert 0 <= augmented <= total
    assert abs(augmented - ratio * total) <= 0.5


@given(total=st.integers(1, 10**4), percent=st.integers(0, 99))
def test_a_bias_ratio_that_divides_the_rows_is_met(total, percent):
    assert bias_counts(100 * total, percent / 100) == ((100 - percent) * total, percent * total)


@pytest.mark.parametrize("ratio", [1.0, 1.5, -0.1, float("nan")])
def test_a_bias_ratio_outside_its_range_is_refused(ratio):
    with pytest.raises(ValueError, match=rf"bias ratio must lie in \[0, 1\), got {ratio}.*a mix needs real rows"):
        bias_counts(10, ratio)


@settings(max_examples=20, deadline=None)
@given(real=st.integers(1, 30), augmented=st.integers(0, 30), seed=st.integers(0, 2**31))
def test_no_row_is_lost_or_doubled_and_each_is_marked_as_what_it_is(real, augmented, seed):
    mixed = mix(rows("real", real), rows("augmented", augmented), seed=seed)
    assert sorted(mixed["text"]) == sorted([*rows("real", real)["text"], *rows("augmented", augmented)["text"]])
    assert all(row["augmented"] is row["text"].startswith("augmented") for row in mixed)


def test_the_order_depends_on_the_seed_alone():
    first, again, other = (list(mix(rows("r", 20), rows("a", 20), seed=seed)["text"]) for seed in (0, 0, 1))
    assert first == again != other
    assert first != sorted(first)


def test_the_column_can_have_another_name():
    assert mix(rows("r", 1), rows("a", 1), seed=0, column="synthetic").column_names == ["text", "synthetic"]


def test_rows_with_other_columns_are_refused():
    with pytest.raises(ValueError, match=r"same columns, got \['text'\] and \['prompt'\]"):
        mix(rows("r", 2), rows("a", 2).rename_column("text", "prompt"), seed=0)
