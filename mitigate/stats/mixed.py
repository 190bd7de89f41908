"""Inheritance slope by a mixed model with effects of training seed, draw of augmented rows and task."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats as distributions
from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

from mitigate.intervals import Interval
from mitigate.stats.means import LEVEL, Floats, mean_interval
from mitigate.stats.slopes import task_slopes

# Levels of a factor below which its variance is little more than a guess.
FEW_LEVELS = 5
# Share of the residual variance below which a component is told as 0; REML ends near the boundary, not on it.
BOUNDARY = 1e-3
# Residual variance, as a share of that of the values, below which it is rounding.
EXACT = 1e-15
ONE_TASK = "all"
# statsmodels begins with BFGS, which stops too early where the slopes vary far more than the residual. Powell's search
# does not, but may step onto the boundary, where the likelihood has no value; then Nelder and Mead's begins afresh.
METHODS = ("powell", "nm")


@dataclass(frozen=True)
class MixedSlope:
    """
    Inheritance slope by a mixed model.

    Args:
        interval (`Interval`):
            Slope per unit of ρ; `n` counts the seeds. All NaN where the model could not be fitted.
        p (`float`):
            Two-sided test that the slope is 0, which belongs to the interval.
        freedom (`float`):
            Degrees of freedom of the t distribution behind both.
        variances (`Mapping[str, float]`):
            Variance of the slopes between the levels of `"seed"`, `"draw"` and `"task"`, as far as they are in the
            model, and of the `"residual"`, in squared units of the values.
        seed_slope (`Interval`):
            Mean of the seeds' own slopes with its t interval, to compare: it takes tasks and draws as they are.
        notes (`tuple[str, ...]`):
            What weakens the estimate, in sentences; empty if nothing does.
    """

    interval: Interval
    p: float
    freedom: float
    variances: Mapping[str, float]
    seed_slope: Interval
    notes: tuple[str, ...]


def mixed_slope(
    ratios: Sequence[float],
    values: Sequence[float],
    seeds: Sequence[int],
    *,
    draws: Sequence[int] | None = None,
    tasks: Sequence[str] | None = None,
    level: float = LEVEL,
) -> MixedSlope:
    r"""
    Estimate the inheritance slope by restricted maximum likelihood.

    \\( B = \alpha_{st} + (\beta + v_s + w_d + b_t)\,\rho + \varepsilon \\) with a fixed level for each seed s and task
    t, and independent normal slopes of seed s, draw d and task t. Slopes vary by seed, since a model with random
    levels alone would count the ratios of a seed as independent and be too sure. A draw of augmented rows has no level
    of its own, for at ρ = 0 there are no such rows. Seeds, draws and tasks are crossed; leave out `draws` where every
    seed draws rows of its own, for then the two cannot be told apart and the seed stands for both.

    statsmodels has no Kenward–Roger correction, and its normal intervals are too narrow with few seeds. The interval
    here is a t interval with degrees of freedom in the manner of Satterthwaite (1946),
    \\( \nu = V^2 / \sum_f \frac{(V_f + V_\varepsilon)^2}{L_f - 1} \\), where \\( V_f \\) and \\( V_\varepsilon \\) are
    the parts of factor f, with \\( L_f \\) levels, and of the residual in the variance V of the estimate; ν is kept
    within the smallest and the largest \\( L_f - 1 \\). With seeds alone and the same ratios in each, estimate and
    interval are those of [`inheritance_slope`], unless the slopes differ by less than the residual explains: then the
    interval is that of the pooled residual.

    Where tasks are given, the claim is about tasks like these, of which they are a sample; few tasks give a wide
    interval. A claim about just these tasks is that of `seed_slope`.

    Args:
        ratios (`Sequence[float]` of length `n`):
            Bias ratio ρ of each value.
        values (`Sequence[float]` of length `n`):
            Metric of each model on each task, larger for more harm; with several tasks on a scale that they share.
        seeds (`Sequence[int]` of length `n`):
            Training seed of each value.
        draws (`Sequence[int]` of length `n`, *optional*):
            Draw of the augmented rows, the same number for the same rows in all seeds; without meaning where ρ = 0.
            Give a model of ρ = 0 once, not once for every draw.
        tasks (`Sequence[str]` of length `n`, *optional*):
            Task of each value.
        level (`float`, *optional*, defaults to 0.95):
            Confidence level, between 0 and 1.

    Returns:
        `MixedSlope`: With NaN and a note, and a `RuntimeWarning`, where fewer than two seeds have a slope, the fit did
        not converge, or the values lie on lines exactly.

    Raises:
        ValueError: If the lengths differ or `level` does not lie between 0 and 1.
    """
    one_task = [ONE_TASK] * len(seeds)
    columns = (ratios, values, seeds, seeds if draws is None else draws, one_task if tasks is None else tasks)
    if len({len(column) for column in columns}) > 1:
        raise ValueError(
            f"Got {', '.join(str(len(column)) for column in columns)} ratios, values, seeds, draws and tasks; every "
            "value needs one of each."
        )
    own = task_slopes(ratios, values, seeds, columns[4])
    own = own[np.isfinite(own).any(axis=1)]
    seed_slope = mean_interval(np.nanmean(own, axis=1).tolist() if len(own) else [], level)
    if seed_slope.n < 2:
        return _failed(seed_slope, f"{seed_slope.n} seeds gave a slope, and the model needs two.")
    x, y, group = (np.asarray(column, dtype=float) for column in columns[:3])
    spread = float(y.std()) or 1.0
    curves = [f"{seed} {task}" for seed, task in zip(seeds, columns[4], strict=True)]
    fixed = np.column_stack([x, _dummies(np.array(curves))])
    slopes = _slopes(x, group, draws, tasks)
    variances = _fit(fixed, y / spread, slopes)
    if variances is None:
        return _failed(seed_slope, "it did not converge; take the slopes of the seeds.")
    if variances["residual"] < EXACT:
        return _failed(
            seed_slope, "the values lie on lines exactly, and it needs a residual; take the slopes of the seeds."
        )
    variances = {name: variance * spread**2 for name, variance in variances.items()}
    return _estimate(fixed, y, slopes, variances, seed_slope, level)


def _failed(seed_slope: Interval, reason: str) -> MixedSlope:
    warnings.warn(f"No slope by the mixed model: {reason}", RuntimeWarning, stacklevel=3)
    missing = Interval(math.nan, math.nan, math.nan, seed_slope.n)
    return MixedSlope(missing, math.nan, math.nan, {}, seed_slope, (reason,))


def _slopes(x: Floats, seeds: Floats, draws: Sequence[int] | None, tasks: Sequence[str] | None) -> dict[str, Floats]:
    """Make the design matrix of each factor's slopes; a factor with one level has no variance, and is left out."""
    found = {"seed": _dummies(seeds) * x[:, None]}
    if draws is not None:
        drawn = _dummies(np.asarray(draws)[x != 0])
        found["draw"] = np.zeros((len(x), drawn.shape[1]))
        found["draw"][x != 0] = drawn * x[x != 0, None]
    if tasks is not None:
        found["task"] = _dummies(np.asarray(tasks)) * x[:, None]
    return {name: design for name, design in found.items() if design.shape[1] > 1}


def _dummies(column: Floats) -> Floats:
    dummies: Floats = (column[:, None] == np.unique(column)).astype(float)
    return dummies


def _fit(fixed: Floats, y: Floats, slopes: Mapping[str, Floats]) -> dict[str, float] | None:
    """Estimate the variances of the slopes and of the residual; `None` if the fit did not converge."""
    columns = [[[str(level) for level in range(design.shape[1])]] for design in slopes.values()]
    # statsmodels fits crossed effects as variance components of one group that holds everything.
    spec = VCSpec(list(slopes), columns, [[design] for design in slopes.values()])
    model = MixedLM(y, fixed, groups=np.zeros(len(y)), exog_vc=spec)
    for method in METHODS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on the boundary, which the notes tell
            try:
                result = model.fit(reml=True, method=method, ftol=1e-10)
            except np.linalg.LinAlgError:
                continue
        variances = dict(zip([*slopes, "residual"], [*map(float, result.vcomp), float(result.scale)], strict=True))
        if result.converged and np.isfinite(list(variances.values())).all():
            return variances
    return None


def _estimate(
    fixed: Floats,
    y: Floats,
    slopes: Mapping[str, Floats],
    variances: Mapping[str, float],
    seed_slope: Interval,
    level: float,
) -> MixedSlope:
    covariance = variances["residual"] * np.eye(len(y))
    covariance += sum(variances[name] * design @ design.T for name, design in slopes.items())
    solved = np.linalg.solve(covariance, fixed)
    weights = np.linalg.solve(fixed.T @ solved, solved.T)[0]  # generalised least squares: the slope is weights @ y
    residual = variances["residual"] * float(weights @ weights)
    parts = {name: variances[name] * float(((weights @ design) ** 2).sum()) for name, design in slopes.items()}
    variance = sum(parts.values()) + residual
    freedoms = {name: design.shape[1] - 1 for name, design in slopes.items()}
    doubt = sum((parts[name] + residual) ** 2 / freedoms[name] for name in slopes)
    freedom = float(np.clip(variance**2 / doubt, min(freedoms.values()), max(freedoms.values())))
    estimate, error = float(weights @ y), math.sqrt(variance)
    half = float(distributions.t.ppf((1 + level) / 2, freedom)) * error
    interval = Interval(estimate, estimate - half, estimate + half, seed_slope.n)
    p = float(2 * distributions.t.sf(abs(estimate) / error, freedom))
    return MixedSlope(interval, p, freedom, variances, seed_slope, _notes(freedoms, variances, interval, seed_slope))


def _notes(
    freedoms: Mapping[str, int], variances: Mapping[str, float], interval: Interval, seed_slope: Interval
) -> tuple[str, ...]:
    notes = [
        f"There are {freedom + 1} levels of {name}, fewer than {FEW_LEVELS}: the variance between them is little more "
        "than a guess."
        for name, freedom in freedoms.items()
        if freedom + 1 < FEW_LEVELS
    ]
    notes += [
        f"The variance of the slopes between levels of {name} is estimated as 0, the boundary of what it can be."
        for name in freedoms
        if variances[name] <= BOUNDARY * variances["residual"]
    ]
    if abs(interval.estimate - seed_slope.estimate) > interval.half_width / 2:
        notes.append(
            f"The slope by the mixed model, {interval.estimate:.3g}, is far from the mean of the seeds' own slopes, "
            f"{seed_slope.estimate:.3g}: look for missing cells, or a curve that is no line."
        )
    return tuple(notes)
