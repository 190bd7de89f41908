import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from mitigate.metrics import stereotype_gap
from mitigate.stats import hierarchical_bootstrap, task_slopes


def mean_difference(x, y):
    return float((x - y).mean())


def of_scipy(columns, method):
    return bootstrap(
        columns,
        lambda x, y: np.mean(x) / np.mean(y),
        paired=True,
        vectorized=False,
        method=method,
        n_resamples=20000,
        rng=np.random.default_rng(1),
    ).confidence_interval


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("axis", ["items", "seeds"])
def test_on_one_level_it_is_the_bootstrap_of_scipy(method, axis):
    """A skewed statistic, so that the two methods differ."""
    columns = np.random.default_rng(0).lognormal(size=(2, 25))
    shape = (1, -1) if axis == "items" else (-1, 1)
    interval = hierarchical_bootstrap(
        lambda x, y: x.mean() / y.mean(),
        *(column.reshape(shape) for column in columns),
        same_items=True,
        method=method,
        resamples=20000,
    )
    expected = of_scipy(columns, method)
    width = expected.high - expected.low
    assert interval.low == pytest.approx(expected.low, abs=0.03 * width)
    assert interval.high == pytest.approx(expected.high, abs=0.03 * width)
    assert interval.n == (1 if axis == "items" else 25)


def test_percentile_and_bca_differ_where_the_statistic_is_skewed():
    columns = np.random.default_rng(0).lognormal(size=(1, 1, 15))
    low, high = (
        hierarchical_bootstrap(np.var, *columns, same_items=True, method=method) for method in ("percentile", "bca")
    )
    assert high.high > 1.1 * low.high


def spread(values, same_items):
    """Standard deviation of the bootstrap means, from the 68.27% interval."""
    level = math.erf(1 / math.sqrt(2))
    return hierarchical_bootstrap(np.mean, values, same_items=same_items, level=level, resamples=20000).half_width


def test_variance_by_hand():
    """Nested and crossed resampling of S seeds and N items, with the variances of Davison & Hinkley and of Owen."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(6, 1)) + rng.normal(size=(1, 8)) + rng.normal(size=(6, 8))
    of_seeds, of_items = values.mean(axis=1).var() / 6, values.mean(axis=0).var() / 8
    nested = of_seeds + values.var(axis=1).mean() / 48
    residual = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    crossed = of_seeds + of_items + residual.var() / 48
    assert spread(values, same_items=False) == pytest.approx(math.sqrt(nested), rel=0.03)
    assert spread(values, same_items=True) == pytest.approx(math.sqrt(crossed), rel=0.03)


def test_systems_are_compared_in_pairs():
    """What is common to both systems, seed and item, takes no part in their difference."""
    rng = np.random.default_rng(0)
    common, own = rng.normal(size=(5, 40)), 0.01 * rng.normal(size=(5, 40))
    interval = hierarchical_bootstrap(mean_difference, common + own + 0.1, common, same_items=True, resamples=999)
    assert interval.half_width < 0.01
    assert interval.low > 0.08


def test_any_statistic_of_rows():
    """The TPR gap of models that answer right for one group only, with a third axis of label, answer and group."""
    item = np.array([["a", "a", "g"], ["a", "b", "h"], ["b", "a", "g"], ["b", "b", "h"]] * 10)
    interval = hierarchical_bootstrap(
        lambda rows: stereotype_gap(*rows.reshape(-1, 3).T.tolist(), {"a": "g", "b": "h"}),
        np.stack([item] * 3),
        same_items=True,
        resamples=99,
    )
    assert (interval.estimate, interval.low, interval.high, interval.n) == (1, 1, 1, 3)


@settings(max_examples=10, deadline=None)
@given(scale=st.sampled_from([0.01, 0.5, 30.0]), offset=st.floats(-10, 10), seed=st.integers(0, 5))
def test_the_interval_follows_unit_and_origin(scale, offset, seed):
    values = np.random.default_rng(seed).normal(size=(4, 6))
    first, second = (
        hierarchical_bootstrap(np.mean, v, same_items=False, method="bca", resamples=99)
        for v in (values, scale * values + offset)
    )
    for name in ("estimate", "low", "high"):
        assert getattr(second, name) == pytest.approx(scale * getattr(first, name) + offset, abs=1e-8)


def test_resamples_without_a_value():
    rare, often = (np.where(np.arange(200) < count, np.nan, np.arange(200.0))[None] for count in (0, 60))

    def mean_if_few_are_missing(values):
        return float("nan") if np.isnan(values).mean() > 0.3 else float(np.nanmean(values))

    assert math.isfinite(hierarchical_bootstrap(mean_if_few_are_missing, rare, same_items=True, resamples=99).low)
    interval = hierarchical_bootstrap(mean_if_few_are_missing, often, same_items=True, resamples=99)
    assert math.isfinite(interval.estimate) and math.isnan(interval.low)


def test_one_seed_with_one_item_has_no_bounds():
    interval = hierarchical_bootstrap(np.mean, [[2.0]], same_items=True)
    assert interval.estimate == 2 and math.isnan(interval.low)


@pytest.mark.parametrize(
    ("systems", "keywords", "message"),
    [
        ((), {}, "got the shapes"),
        (([1.0, 2.0],), {}, r"\(2,\)"),
        (([[1.0, 2.0]], [[1.0]]), {}, r"\(1, 2\), \(1, 1\)"),
        (([[1.0, 2.0]],), {"level": 95}, "between 0 and 1, got 95"),
        (([[1.0, 2.0]],), {"resamples": 0}, "at least 1, got 0"),
    ],
)
def test_errors(systems, keywords, message):
    with pytest.raises(ValueError, match=message):
        hierarchical_bootstrap(np.mean, *systems, same_items=True, **keywords)


def test_slopes_by_seed_and_task():
    rows = [(r, r * (s + 10 * t), s, f"task {t}") for r in (0.0, 0.2, 0.5) for s in (3, 1) for t in (0, 1)]
    rows = [row for row in rows if row[2:] != (3, "task 1") or row[0] == 0]
    slopes = task_slopes(*zip(*rows, strict=True))
    np.testing.assert_allclose(slopes, [[1, 11], [3, np.nan]])
    with pytest.raises(ValueError, match="1 seeds but 2 tasks"):
        task_slopes([0.0], [0.0], [0], ["a", "b"])
