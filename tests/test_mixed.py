import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from mitigate.stats import inheritance_slope, mixed_slope
from tests.test_stats import RATIOS, design


def crossed(seeds=6, draws=5, tasks=5, *, sd=(0.3, 0.2, 0.4), noise=0.1, rng=0):
    """Values of crossed seeds, draws and tasks, slope 1 in the mean; ρ = 0 has one value for each seed and task."""
    generator = np.random.default_rng(rng)
    of_seed, of_draw, of_task = (s * generator.normal(size=n) for s, n in zip(sd, (seeds, draws, tasks), strict=True))
    level = generator.normal(size=(seeds, tasks))
    rows = [
        (ratio, level[s, t] + (1 + of_seed[s] + of_draw[d] + of_task[t]) * ratio + noise * generator.normal(), s, d, t)
        for s in range(seeds)
        for t in range(tasks)
        for ratio in RATIOS
        for d in range(draws if ratio else 1)
    ]
    return pd.DataFrame(rows, columns=["ratio", "value", "seed", "draw", "task"])


def fit(data, **keywords):
    return mixed_slope(data.ratio.tolist(), data.value.tolist(), data.seed.tolist(), **keywords)


def test_with_seeds_alone_it_is_the_slope_of_the_seeds():
    rows = design([0.1, 0.5, -0.2, 0.4, 0.3], noise=0.02)
    mixed, direct = mixed_slope(*rows), inheritance_slope(*rows)
    assert mixed.seed_slope == direct
    assert mixed.freedom == 4
    for name in ("estimate", "low", "high"):
        assert getattr(mixed.interval, name) == pytest.approx(getattr(direct, name), rel=1e-4)
    assert mixed.notes == ()


def test_slopes_that_differ_less_than_the_residual_explains_give_the_pooled_interval():
    """By hand: then REML pools the squares of slopes and residual, with the sum of their degrees of freedom."""
    ratios, values, seeds = design([0.2] * 5, noise=0.1, rng=4)
    x = np.array(RATIOS) - np.mean(RATIOS)
    curves = np.reshape(values, (5, 4)) - np.reshape(values, (5, 4)).mean(axis=1, keepdims=True)
    slopes = curves @ x / (x @ x)
    squares = ((curves - slopes.mean() * x) ** 2).sum()
    assert slopes.var(ddof=1) * (x @ x) < ((curves - slopes[:, None] * x) ** 2).sum() / 10
    mixed = mixed_slope(ratios, values, seeds)
    error = math.sqrt(squares / 14 / (x @ x) / 5)
    assert mixed.interval.half_width == pytest.approx(2.776445 * error, rel=1e-4)
    assert mixed.notes == (
        "The variance of the slopes between levels of seed is estimated as 0, the boundary of what it can be.",
    )


def test_it_is_the_fit_of_statsmodels():
    """The same model as a formula, with the draws in."""
    data = crossed()
    mixed = fit(data, draws=data.draw.tolist(), tasks=data.task.tolist())
    formula = {name: f"0 + C({name}):ratio" for name in ("seed", "draw", "task")}
    expected = smf.mixedlm("value ~ ratio + C(seed):C(task)", data.assign(one=1), groups="one", vc_formula=formula)
    expected = expected.fit(method="powell", ftol=1e-10)
    assert mixed.interval.estimate == pytest.approx(expected.params["ratio"], rel=1e-4)
    error = math.sqrt(expected.cov_params().loc["ratio", "ratio"])
    low, _ = expected.conf_int().loc["ratio"]
    assert mixed.interval.low < low  # normal, thus too narrow
    assert mixed.interval.half_width == pytest.approx(t.ppf(0.975, mixed.freedom) * error, rel=1e-3)
    for name in ("seed", "draw", "task"):
        assert mixed.variances[name] == pytest.approx(expected.vcomp[sorted(formula).index(name)], rel=1e-2)
    assert 4 <= mixed.freedom <= 5
    assert mixed.p == pytest.approx(2 * t.sf(mixed.interval.estimate / error, mixed.freedom), rel=1e-2)


def test_tasks_that_differ_widen_the_claim_to_tasks_like_these():
    data = crossed(draws=1, sd=(0.1, 0.0, 1.0))
    alike, these = fit(data, tasks=data.task.tolist()), fit(data, tasks=data.task.tolist()).seed_slope
    assert alike.interval.half_width > 3 * these.half_width
    assert alike.interval.estimate == pytest.approx(these.estimate, rel=1e-6)


def test_a_draw_means_nothing_where_there_are_no_augmented_rows():
    data = crossed(tasks=1)
    expected = fit(data, draws=data.draw.tolist())
    data.loc[data.ratio == 0, "draw"] = 99
    assert fit(data, draws=data.draw.tolist()) == expected


@settings(max_examples=10, deadline=None)
@given(scale=st.sampled_from([1e-3, 0.5, 40.0]), slope=st.floats(-2, 2), shift=st.floats(-5, 5))
def test_the_slope_follows_unit_and_slope_of_the_values(scale, slope, shift):
    ratios, values, seeds = design([0.1, 0.5, -0.2, 0.4], noise=0.05)
    first = mixed_slope(ratios, values, seeds)
    moved = [scale * (v + slope * r + shift * s) for r, v, s in zip(ratios, values, seeds, strict=True)]
    second = mixed_slope(ratios, moved, seeds)
    assert second.interval.estimate == pytest.approx(scale * (first.interval.estimate + slope), abs=1e-6 * scale)
    assert second.interval.half_width == pytest.approx(scale * first.interval.half_width, rel=1e-3)


def test_small_noise_beside_large_differences_does_not_stop_the_fit_early():
    rows = design([0.1, 2.0, -1.0, 0.4], noise=1e-5)
    assert mixed_slope(*rows).interval.half_width == pytest.approx(inheritance_slope(*rows).half_width, rel=1e-3)


def test_a_search_that_steps_onto_the_boundary_is_begun_afresh():
    """Values of a trained sweep, on which Powell's method meets a variance of exactly 0."""
    values = [
        -0.013, 0.0053, -0.0175, -0.0202,
        0.0384, 0.0116, 0.0106, -0.018,
        0.0109, -0.0196, -0.0292, -0.0003,
        0.02, -0.0018, -0.0275, -0.0083,
        0.0475, 0.0199, -0.0007, -0.0174,
    ]  # fmt: skip
    rows = [0.0, 0.2, 0.4, 0.6] * 5, values, [seed for seed in range(5) for _ in range(4)]
    mixed, direct = mixed_slope(*rows), inheritance_slope(*rows)
    assert (mixed.interval.low, mixed.interval.high) == pytest.approx((direct.low, direct.high), rel=1e-3)


def test_few_levels_are_told():
    data = crossed(seeds=3, draws=2, tasks=4)
    notes = fit(data, draws=data.draw.tolist(), tasks=data.task.tolist()).notes
    for count, name in ((3, "seed"), (2, "draw"), (4, "task")):
        assert f"There are {count} levels of {name}, fewer than 5" in " ".join(notes)


def test_missing_cells_that_tilt_the_slopes_are_told():
    """A slope over a short stretch is little certain: the model weighs it less, the mean of the slopes does not."""
    rows = [row for row in zip(*design([0.2] * 6, noise=0.05), strict=True) if row[2] or row[0] < 0.3]
    rows = [(r, v + (r if s == 0 else 0), s) for r, v, s in rows]
    assert "look for missing cells" in mixed_slope(*zip(*rows, strict=True)).notes[-1]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (design([0.1]), "1 seeds gave a slope"),
        (([], [], []), "0 seeds gave a slope"),
        (design([0.1, 0.2, 0.3]), "lie on lines exactly"),
        (([0.0, 0.5] * 2, [0.3] * 4, [0, 0, 1, 1]), "lie on lines exactly"),
    ],
)
def test_what_cannot_be_fitted_is_told(rows, reason):
    with pytest.warns(RuntimeWarning, match=reason):
        mixed = mixed_slope(*rows)
    assert reason in mixed.notes[0]
    assert math.isnan(mixed.interval.estimate) and math.isnan(mixed.p)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="2, 2, 2, 1, 2 ratios, values, seeds, draws and tasks"):
        mixed_slope([0.0, 0.5], [1.0, 2.0], [0, 0], draws=[1])
