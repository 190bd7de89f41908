import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as distributions
from statsmodels.stats.power import TTestIndPower, TTestPower

from mitigate.stats import mean_p, minimal_detectable_effect


@pytest.mark.parametrize("seeds", [3, 5, 8, 30])
def test_it_is_that_of_statsmodels_where_that_is_right(seeds):
    one = TTestPower().solve_power(nobs=seeds, alpha=0.05, power=0.8)
    two = TTestIndPower().solve_power(nobs1=seeds, alpha=0.05, power=0.8)
    assert minimal_detectable_effect(2.0, seeds) == pytest.approx(2 * one, rel=1e-4)
    assert minimal_detectable_effect(2.0, seeds, arms=2) == pytest.approx(2 * two, rel=1e-4)


@pytest.mark.parametrize(("arms", "seeds", "alpha"), [(1, 4, 0.005), (1, 5, 0.005), (2, 2, 0.005), (2, 3, 0.005)])
def test_power_by_integration_where_statsmodels_is_wrong(arms, seeds, alpha):
    """P(|Z + δ| > c √(W / ν)) with W from the chi-squared distribution."""
    freedom, weight = (seeds - 1, seeds) if arms == 1 else (2 * seeds - 2, seeds / 2)
    shift = minimal_detectable_effect(1.0, seeds, arms=arms, alpha=alpha) * math.sqrt(weight)
    threshold = distributions.t.isf(alpha / 2, freedom)
    w = distributions.chi2.ppf((np.arange(20000) + 0.5) / 20000, freedom)
    tails = [distributions.norm.sf(threshold * np.sqrt(w / freedom) + sign * shift) for sign in (-1, 1)]
    assert np.mean(sum(tails)) == pytest.approx(0.8, abs=2e-4)


def test_many_seeds_give_the_normal_approximation():
    assert minimal_detectable_effect(1.0, 10_000) * 100 == pytest.approx(2.8, abs=0.005)
    assert minimal_detectable_effect(1.0, 10_000, arms=2) * 100 == pytest.approx(2.8 * math.sqrt(2), abs=0.005)


def test_an_effect_of_that_size_is_detected_as_often_as_stated():
    effect = minimal_detectable_effect(1.0, 5)
    samples = np.random.default_rng(0).normal(effect, 1, (2000, 5))
    assert np.mean([mean_p(sample) <= 0.05 for sample in samples]) == pytest.approx(0.8, abs=0.025)


@given(st.floats(0, 100), st.integers(2, 40))
def test_it_is_in_units_of_the_standard_deviation_and_falls_with_the_seeds(sd, seeds):
    effect = minimal_detectable_effect(sd, seeds)
    assert effect == pytest.approx(sd * minimal_detectable_effect(1.0, seeds))
    assert minimal_detectable_effect(1.0, seeds + 1) < minimal_detectable_effect(1.0, seeds)


def test_one_seed_detects_nothing():
    assert math.isnan(minimal_detectable_effect(1.0, 1))
    assert math.isnan(minimal_detectable_effect(math.nan, 5))
    assert minimal_detectable_effect(0.0, 5) == 0


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"sd": -1.0}, "`sd` must be at least 0"),
        ({"arms": 3}, "`arms` 1 or 2, got 1.0 and 3"),
        ({"alpha": 0.0}, "0 < alpha < power < 1, got 0.0 and 0.8"),
        ({"power": 1.0}, "got 0.05 and 1.0"),
        ({"power": 0.01}, "got 0.05 and 0.01"),
    ],
)
def test_errors(keywords, message):
    with pytest.raises(ValueError, match=message):
        minimal_detectable_effect(**{"sd": 1.0, "seeds": 5, **keywords})


@pytest.mark.filterwarnings("error")
def test_two_seeds_in_a_family_of_thousands():
    """With one degree of freedom a thousandth of the level asks for a thousand times the effect."""
    one, many = (minimal_detectable_effect(1.0, 2, alpha=alpha) for alpha in (1e-2, 1e-5))
    assert many == pytest.approx(1000 * one, rel=1e-3)
