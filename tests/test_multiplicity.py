import gc
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from mitigate.stats import benjamini_hochberg, benjamini_yekutieli, family_size, holm


@pytest.fixture(autouse=True)
def quick_collection():
    """statsmodels collects garbage on every correction, which takes a second beside torch."""
    gc.freeze()
    yield
    gc.unfreeze()


P = st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), max_size=12)


def test_benjamini_hochberg_by_hand():
    # Sorted 0.01, 0.02, 0.04 of m = 3: 0.01·3/1, 0.02·3/2, 0.04·3/3; the running minimum from the end changes nothing.
    assert benjamini_hochberg([0.04, 0.01, math.nan, 0.02])[:2] == pytest.approx([0.04, 0.03])
    assert benjamini_hochberg([0.03, 0.029]) == pytest.approx([0.03, 0.03])


@given(P)
def test_all_are_those_of_statsmodels(p_values):
    family = [p for p in p_values if not math.isnan(p)]
    for correct, method in ((holm, "holm"), (benjamini_hochberg, "fdr_bh"), (benjamini_yekutieli, "fdr_by")):
        corrected = [p for p in correct(p_values) if not math.isnan(p)]
        assert corrected == pytest.approx(multipletests(family, method=method)[1].tolist() if family else [])


@given(P)
def test_order_of_the_corrections(p_values):
    """A correction never lowers p; Holm is at least Benjamini–Hochberg, as is Benjamini–Yekutieli; NaN stays."""
    bh, by = benjamini_hochberg(p_values), benjamini_yekutieli(p_values)
    for p, a, b, c in zip(p_values, bh, by, holm(p_values), strict=True):
        assert math.isnan(p) == math.isnan(a) == math.isnan(b) == math.isnan(c)
        assert math.isnan(p) or p - 1e-12 <= a <= min(b, c) + 1e-12


def test_the_family_is_what_was_tested():
    assert family_size([0.1, math.nan, 1.0]) == 2
    assert family_size([]) == 0
