"""Analysis of a sweep: how much bias is inherited over the bias ratio, and what each mitigation takes off it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mitigate import stats
from mitigate.cells import CONTROL, DATA_BIAS, WITHOUT_AUGMENTED, Sweep, read_cells
from mitigate.curves import (
    Point,
    curve_coefficient,
    curve_slopes,
    curve_trends,
    slope_differences,
    trend_interval,
    values_at,
    values_of,
)
from mitigate.intervals import Interval

ALPHA = 0.05


@dataclass(frozen=True)
class Contrast:
    """
    A paired difference of two slopes with its test.

    Args:
        interval (`Interval`):
            Mean over seeds of the difference, per +0.10 of ρ.
        p (`float`):
            Two-sided paired t test; NaN with fewer than two common seeds, or if all have the same difference.
        sd (`float`):
            Standard deviation of the differences of the seeds; NaN with fewer than two, or if all are the same.
        p_holm (`float`):
            `p` after Holm's correction over all contrasts of the analysis.
    """

    interval: Interval
    p: float
    sd: float
    p_holm: float = math.nan


@dataclass(frozen=True)
class Comparison:
    """
    An arm beside the unmitigated arm of the same dose.

    Args:
        bias_ratio (`float`):
            Largest ρ that both arms have; `removed` and `utility` are taken there.
        slope (`Contrast`):
            Slope without mitigation minus slope of the arm: above 0 if the arm inherits less.
        removed (`Interval` or `None`):
            Share of the inherited shift B(ρ) - B(0) that the arm removes, 1 for all of it, with Fieller's interval.
            `None` where the shift without mitigation is not above 0 with its whole interval, as there is nothing of
            which to take a share.
        utility (`Interval`):
            Utility of the arm minus utility without mitigation, paired by seed.
        identical (`bool`):
            Whether every model has the very bias and utility of its unmitigated partner: the mitigation never acted.
    """

    bias_ratio: float
    slope: Contrast
    removed: Interval | None
    utility: Interval
    identical: bool


@dataclass(frozen=True)
class Arm:
    """
    One curve over the bias ratio: a mitigation at a dose, with the shared models of ρ = 0 as its left end.

    Args:
        mitigation (`str`):
            Name of the mitigation, `"none"` for no mitigation.
        dose (`float`):
            β, how biased the augmented rows are; 0 for the null arm.
        curves (`Mapping[str, tuple[Point, ...]]`):
            Points in ascending order of ρ, for each metric.
        slope (`Interval`):
            Inheritance slope of the bias, per +0.10 of ρ.
        slope_sd (`float`):
            Standard deviation of the slopes of the seeds, per +0.10 of ρ; NaN with fewer than two, or if all are
            the same.
        trend (`Interval`):
            Mean over seeds of the rank correlation of bias and ρ, in [-1, 1]: whether bias rises, in a line or not.
        trend_p (`float`):
            Two-sided t test over seeds that the mean trend is 0, not corrected; NaN with fewer than two trends,
            or if all are the same.
        coefficient (`Interval` or `None`):
            Inheritance coefficient: the shift of the bias from ρ = 0 to the arm's largest ρ in units of that of the
            training rows, with Fieller's interval (see [`mitigate.stats.inheritance_coefficient`]). `None` where the
            bias of the rows is not known or does not shift.
        p (`float`):
            Two-sided t test over seeds that the mean slope is 0; NaN with fewer than two slopes, or if all are the
            same.
        p_holm (`float`):
            `p` after Holm's correction over all arms of the analysis.
        comparison (`Comparison` or `None`):
            The arm beside the unmitigated one of its dose; `None` if it is that one or there is none.
        content (`Contrast` or `None`):
            Slope of this unmitigated arm minus slope of the null arm: what the biased content adds to the effect of
            synthetic text as such. `None` for other arms, and without a null arm.
        control (`Contrast` or `None`):
            Slope of the arm's control minus slope of the arm: what the mitigation owes to acting on augmented rows,
            rather than on any. `None` for arms without a control.
    """

    mitigation: str
    dose: float
    curves: Mapping[str, tuple[Point, ...]]
    slope: Interval
    slope_sd: float
    trend: Interval
    trend_p: float
    coefficient: Interval | None
    p: float
    p_holm: float = math.nan
    comparison: Comparison | None = None
    content: Contrast | None = None
    control: Contrast | None = None

    @property
    def is_control(self) -> bool:
        """Whether the arm is the control of another."""
        return self.mitigation.endswith(CONTROL)

    @property
    def is_null(self) -> bool:
        """Whether the augmented rows carry no bias (β = 0)."""
        return self.dose == 0


@dataclass(frozen=True)
class Analysis:
    """
    What a sweep says.

    Args:
        arms (`tuple[Arm, ...]`):
            Descending by dose, so that null arms come last; within a dose the baselines come first.
        labels (`Mapping[str, str]`):
            Human names of the metrics.
        ratios (`tuple[float, ...]`):
            All bias ratios, ascending, 0 first.
        seeds (`tuple[int, ...]`):
            All training seeds, ascending.
        slope_family (`int`):
            Number of slope tests that `p_holm` of the arms is corrected for.
        contrast_family (`int`):
            Number of tests that `p_holm` of the contrasts is corrected for.
        records (`int`):
            Number of records that were used.
        excluded (`tuple[str, ...]`):
            Cells whose record was not used, each with its reason.
        missing (`tuple[str, ...]`):
            Cells without any record, although another seed has one there.
    """

    arms: tuple[Arm, ...]
    labels: Mapping[str, str]
    ratios: tuple[float, ...]
    seeds: tuple[int, ...]
    slope_family: int
    contrast_family: int
    records: int
    excluded: tuple[str, ...]
    missing: tuple[str, ...]

    def label(self, metric: str) -> str:
        """Return the human name of a metric; a subgroup such as `"bias/Brazil"` is named after its metric."""
        name, _, group = metric.partition("/")
        return self.labels.get(metric) or self.labels.get(name, name) + (f" / {group}" if group else "")

    def detectable(self, arm: Arm) -> float:
        """
        Return the smallest true slope, per +0.10 of ρ, that such a sweep detects in an arm 80 times out of 100.

        It is that of the first step of Holm's correction, and NaN where the seeds do not say how much they differ.
        """
        return stats.minimal_detectable_effect(arm.slope_sd, arm.slope.n, alpha=ALPHA / max(1, self.slope_family))

    def arm(self, mitigation: str, dose: float) -> Arm | None:
        """Return the arm of a mitigation at a dose, `None` if the sweep has none."""
        return next((arm for arm in self.arms if (arm.mitigation, arm.dose) == (mitigation, dose)), None)


def analyse(records: Iterable[Mapping[str, Any]], *, labels: Mapping[str, str] | None = None) -> Analysis:
    """
    Analyse the records of a sweep over bias ratio ρ, dose β, mitigation and seed.

    The unit is the training seed (see [`mitigate.stats`]). The models of ρ = 0 have no augmented rows, so they are the
    left end of every arm. Slopes are tested by t tests over seeds, contrasts of slopes by paired ones; each of the two
    families is corrected by Holm's method.

    Args:
        records (`Iterable[Mapping[str, Any]]`):
            One record per cell, as described in [`mitigate.cells.read_cells`]; `bias` is larger for more harm. Records
            whose status is not `"done"` are counted but not used.
        labels (`Mapping[str, str]`, *optional*):
            Human names of the metrics, such as `{"bias": "TPR gap", "utility": "accuracy"}`; by default the metrics'
            own names.

    Returns:
        `Analysis`: All arms with curves, slopes, tests and comparisons, whatever the order of the records.

    Raises:
        ValueError: If the records are malformed (see [`mitigate.cells.read_cells`]), if none is usable, if none has
            ρ = 0, or if none has another ρ.
    """
    sweep = read_cells(records)
    _check(sweep)
    arms = {key: _arm(sweep, *key) for key in sweep.arms}
    corrected, contrasts = _correct([_compare(arm, arms) for arm in arms.values()])
    return Analysis(
        arms=corrected,
        labels=dict(labels or {}),
        ratios=sweep.ratios,
        seeds=sweep.seeds,
        slope_family=sum(not math.isnan(arm.p) for arm in corrected),
        contrast_family=contrasts,
        records=len(sweep.metrics),
        excluded=tuple(f"{cell} ({reason})" for cell, reason in sorted(sweep.excluded.items())),
        missing=tuple(str(cell) for cell in sweep.missing()),
    )


def _check(sweep: Sweep) -> None:
    if not sweep.metrics:
        raise ValueError(
            f"Nothing to analyse: of {len(sweep.excluded)} records none is finished with a finite bias and utility."
        )
    if sweep.ratios[0] != 0:
        raise ValueError(
            f"No finished record at bias ratio 0 (ratios: {', '.join(f'{ratio:g}' for ratio in sweep.ratios)}); "
            "without models trained on real rows alone there is nothing to measure inheritance from."
        )
    if len(sweep.ratios) < 2:
        raise ValueError(
            "All finished records have bias ratio 0; a slope needs at least one more ratio, so add models trained "
            "with augmented rows."
        )


def _arm(sweep: Sweep, mitigation: str, dose: float) -> Arm:
    models = sweep.models(mitigation, dose)
    names = {name for _, metrics in models for name in metrics} - {"bias", "utility"}
    curves: dict[str, tuple[Point, ...]] = {}
    for name in ["bias", "utility", *sorted(names)]:
        points: dict[float, list[tuple[int, float]]] = {}
        for cell, metrics in models:
            if name in metrics:
                points.setdefault(cell.bias_ratio, []).append((cell.seed, metrics[name]))
        curves[name] = tuple(
            Point(ratio, stats.mean_interval([value for _, value in values]), tuple(values))
            for ratio, values in points.items()
        )
    slopes = list(curve_slopes(curves["bias"]).values())
    trends = curve_trends(curves["bias"])
    rows_shift = dose != 0 and mitigation not in WITHOUT_AUGMENTED  # else they would by chance alone
    return Arm(
        mitigation=mitigation,
        dose=dose,
        curves=curves,
        slope=stats.mean_interval(slopes),
        slope_sd=stats.seed_sd(slopes),
        trend=trend_interval(trends),
        trend_p=stats.mean_p(list(trends.values())),
        coefficient=curve_coefficient(curves["bias"], curves[DATA_BIAS])
        if rows_shift and DATA_BIAS in curves
        else None,
        # Not by permutation within seeds: models of neighbouring ratios share rows and so are alike, which makes
        # their order anything but random. `benchmarks/validity.py` measures the false alarms.
        p=stats.mean_p(slopes),
    )


def _compare(arm: Arm, arms: Mapping[tuple[str, float], Arm]) -> Arm:
    """Set an arm beside the unmitigated one of its dose and its control; an unmitigated one beside the null arm."""
    none, null = arms.get(("none", arm.dose)), arms.get(("none", 0.0))
    if arm.mitigation != "none":
        control = arms.get((arm.mitigation + CONTROL, arm.dose))
        beside = _contrast(control, arm) if control else None
        return replace(arm, comparison=_comparison(none, arm) if none else None, control=beside)
    return replace(arm, content=_contrast(arm, null)) if null and not arm.is_null else arm


def _contrast(first: Arm, second: Arm) -> Contrast:
    differences = list(slope_differences(first.curves["bias"], second.curves["bias"]).values())
    return Contrast(stats.mean_interval(differences), stats.mean_p(differences), stats.seed_sd(differences))


def _comparison(none: Arm, arm: Arm) -> Comparison | None:
    ratio = max(
        (r for r, _ in values_of(arm.curves["bias"]).keys() & values_of(none.curves["bias"]).keys() if r > 0),
        default=None,
    )
    if ratio is None:
        return None
    utility = stats.paired_differences(
        values_at(arm.curves["utility"], ratio), values_at(none.curves["utility"], ratio)
    )
    partners = [(values_of(arm.curves[name]), values_of(none.curves[name])) for name in ("bias", "utility")]
    return Comparison(
        bias_ratio=ratio,
        slope=_contrast(none, arm),
        removed=_removed(none, arm, ratio),
        utility=stats.mean_interval(utility),
        identical=all(x[key] == y[key] for x, y in partners for key in x.keys() & y.keys()),
    )


def _removed(none: Arm, arm: Arm, ratio: float) -> Interval | None:
    points, points_none = arm.curves["bias"], none.curves["bias"]
    start, end, end_none = values_at(points_none, 0.0), values_at(points, ratio), values_at(points_none, ratio)
    seeds = sorted(start.keys() & end.keys() & end_none.keys())
    shifts = [end[seed] - start[seed] for seed in seeds]
    shifts_none = [end_none[seed] - start[seed] for seed in seeds]
    if not stats.mean_interval(shifts_none).low > 0:
        return None
    kept = stats.ratio_interval(shifts, shifts_none)
    return Interval(1 - kept.estimate, 1 - kept.high, 1 - kept.low, kept.n)


def _correct(arms: list[Arm]) -> tuple[tuple[Arm, ...], int]:
    """Correct the tests of the two families; returns the arms and the size of the family of contrasts."""
    contrasts = [arm.comparison.slope if arm.comparison else arm.content for arm in arms]
    tests = [*contrasts, *(arm.control for arm in arms)]
    slope_ps = stats.holm([arm.p for arm in arms])
    corrected_ps = stats.holm([test.p if test else math.nan for test in tests])
    tested = [replace(test, p_holm=p) if test else None for test, p in zip(tests, corrected_ps, strict=True)]
    corrected = []
    for arm, p, contrast, control in zip(arms, slope_ps, tested[: len(arms)], tested[len(arms) :], strict=True):
        comparison = replace(arm.comparison, slope=contrast) if arm.comparison and contrast else None
        content = contrast if arm.content else None
        corrected.append(replace(arm, p_holm=p, comparison=comparison, content=content, control=control))
    return tuple(corrected), sum(not math.isnan(p) for p in corrected_ps)
