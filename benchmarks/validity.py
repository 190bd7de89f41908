r"""
How often are the verdict and its tests wrong? Answered where the truth is known, with sweeps of the testbed.

    OMP_NUM_THREADS=1 python benchmarks/validity.py --output_dir outputs/validity --sweeps 200

Each sweep is trained anew on rows of its own, read by `analyse` and judged by `verdict`, once with augmented rows that
claim a bias dose and have none (every finding is a false alarm), and once with rows that have it. The learner is a
stand-in, see `validity_sweeps.py`. Sweeps over tasks, bias types and arms are not trained but drawn, see
`validity_grids.py`; they are read by `analyse_grid` and judged by `grid_verdict`. Crossed seeds, draws and tasks are
simulated from normal distributions. Trained sweeps are kept in the folder, so that a run that was stopped goes on. The
tables are printed and written to `tables.md` there, in Markdown.
"""

from __future__ import annotations

import argparse
import gc
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from scipy.stats import norm, t
from validity_grids import judge_grids
from validity_sweeps import DOSE, RATIOS, SEEDS, Models, load_sweep, records_of
from validity_tables import coverage, false_alarm_table, grid_coverage_table, grid_power_table, markdown, rate

from mitigate import stats
from mitigate.analysis import analyse
from mitigate.curves import SLOPE_UNIT
from mitigate.intervals import Interval
from mitigate.report.verdict import ALPHA, verdict

RESAMPLES = 999
SIMULATIONS = 400
REGROUPED = 20_000
ONE, TWO = "one slope", "two slopes, Holm"
UPWARD, EITHER = "**verdict “bias is inherited”**", "verdict that it is inherited or falls"
ANY = "verdict on either of two slopes, Holm"
# Share of findings where there is nothing to find; 5% for tests that are not named.
WANTED = {f"{UPWARD}, {ONE}": "2.5%", f"{UPWARD}, {TWO}": "≤ 2.5%", f"{EITHER}, {TWO}": "≤ 5%", ANY: "≤ 5%"}


@dataclass
class Judgement:
    """What the tests say of an arm of one sweep: their findings, intervals, and the numbers by seed behind them."""

    found: dict[str, bool] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    values: dict[str, list[float]] = field(default_factory=dict)


def judge(models: list[Models], arm: str) -> Judgement:
    """Hand a sweep to the analysis and to each test on its own."""
    result = Judgement()
    alone, beside = (analyse(records_of(models, arms)) for arms in ({DOSE: arm}, {DOSE: arm, 0.0: "balanced"}))
    for name, analysis in ((ONE, alone), (TWO, beside)):
        said = " ".join(verdict(analysis))
        upward = f"Bias is inherited at β = {DOSE:g}" in said
        result.found[f"{UPWARD}, {name}"] = upward
        result.found[f"{EITHER}, {name}"] = upward or f"Bias falls at β = {DOSE:g}" in said
    result.found[ANY] = any(each.p_holm <= ALPHA for each in beside.arms)
    content = "An effect of the biased content itself is detected"
    result.found["verdict “effect of the biased content itself”"] = content in " ".join(verdict(beside))
    tested = alone.arm("none", DOSE)
    points = [(point.bias_ratio, value, seed) for point in tested.curves["bias"] for seed, value in point.values]
    columns = [list(column) for column in zip(*points, strict=True)]
    slopes = list(stats.seed_slopes(*columns).values())
    mixed = stats.mixed_slope(*columns)
    trend = stats.mean_p(list(stats.seed_trends(*columns).values()))
    result.values["slope"] = slopes
    result.found |= {
        "t test of the slopes": stats.mean_p(slopes) <= ALPHA,
        "mixed model, t": mixed.p <= ALPHA,
        "t test of the rank correlations": trend <= ALPHA,
        "permutation within seeds (not used)": stats.slope_permutation_p(*columns) <= ALPHA,
        "Page’s L, one-sided (not used)": stats.page_p(*columns) <= ALPHA,
    }
    result.intervals |= {
        "slope, t": stats.mean_interval(slopes),
        "slope, mixed model, t": mixed.interval,
        "slope, mixed model, normal (not used)": normal_interval(mixed),
        "slope, bootstrap of seeds, percentile": bootstrap(slopes, "percentile"),
        "slope, bootstrap of seeds, BCa": bootstrap(slopes, "bca"),
    }
    add_shifts(result, models, arm)
    return result


def add_shifts(result: Judgement, models: list[Models], arm: str) -> None:
    """Judge the shift at the largest ratio: against a control task, and in units of the data's shift."""
    name = f"{arm} {RATIOS[-1]:g}"
    start, end = (
        {metric: {seed: own[key][metric] for seed, own in enumerate(models)} for metric in ("bias", "control", "data")}
        for key in ("0", name)
    )
    related, control = ([(start[metric], end[metric])] for metric in ("bias", "control"))
    difference = stats.difference_in_differences(related, control)
    result.values["difference"] = list(difference.values)
    result.found["difference in differences, t test"] = difference.p <= ALPHA
    result.intervals["difference in differences"] = difference.interval
    result.intervals["the same, as if its SDs were known (not used)"] = stats.mean_interval(difference.values)
    shifts, data = (stats.paired_shifts(start[m], end[m]) for m in ("bias", "data"))
    result.values |= {"shift": list(shifts.values()), "data": list(data.values())}
    result.intervals["inheritance coefficient, Fieller"] = stats.inheritance_coefficient(shifts, data)


def bootstrap(values: Sequence[float], method: str) -> Interval:
    """Resample the seeds."""
    return stats.hierarchical_bootstrap(
        np.mean, np.reshape(values, (-1, 1)), same_items=True, method=method, resamples=RESAMPLES
    )


def normal_interval(mixed: stats.MixedSlope) -> Interval:
    """Give the interval that statsmodels would: its standard error with normal quantiles."""
    middle = mixed.interval
    half = middle.half_width * norm.ppf(0.975) / t.ppf(0.975, mixed.freedom)
    return Interval(middle.estimate, middle.estimate - half, middle.estimate + half, middle.n)


def truth_of_others(judged: list[Judgement], name: str) -> list[float]:
    """Estimate the truth for every sweep from all other sweeps, with whose chance its own has nothing to do."""
    if "coefficient" in name:
        sums = np.array([[sum(j.values[key]) for key in ("shift", "data")] for j in judged])
        return [float(x / y) for x, y in sums.sum(axis=0) - sums]
    key = "slope" if name.startswith("slope") else "difference"
    means = np.array([np.mean(j.values[key]) for j in judged])
    return ((means.sum() - means) / (len(means) - 1)).tolist()


def finding_table(groups: dict[str, list[Judgement]]) -> str:
    """Tell how often each test finds something, and how often it should where there is nothing."""
    tests = next(iter(groups.values()))[0].found
    rows = [
        [test, WANTED.get(test, "5%"), *(rate([j.found[test] for j in judged]) for judged in groups.values())]
        for test in tests
    ]
    return markdown(["finding", "wanted at β = 0", *groups], rows)


def coverage_table(groups: dict[str, list[Judgement]], known: dict[str, float | None]) -> str:
    """Tell how often each interval holds the truth: a known number, or what the other sweeps say."""
    rows = []
    for name in next(iter(groups.values()))[0].intervals:
        row = [name]
        for group, judged in groups.items():
            exact = known[group]
            truths = truth_of_others(judged, name) if exact is None else [exact] * len(judged)
            pairs = [(j.intervals[name], truth) for j, truth in zip(judged, truths, strict=True)]
            row.append(coverage([i.low <= truth <= i.high if math.isfinite(i.low) else None for i, truth in pairs]))
        rows.append(row)
    return markdown(["95% interval", *groups], rows)


def equivalence_table(null: dict[str, list[Judgement]], effect: dict[str, list[Judgement]]) -> str:
    """Tell how often TOST calls a slope too small to matter that is exactly as large as the bound, and one of 0."""
    rows = []
    for seeds in null:
        bounds = truth_of_others(effect[seeds], "slope")
        at_bound, at_zero = (
            [stats.equivalence_p(j.values["slope"], bound) < ALPHA for j, bound in zip(judged, bounds, strict=False)]
            for judged in (effect[seeds], null[seeds])
        )
        rows.append([seeds, f"±{np.mean(bounds) * SLOPE_UNIT:.4f}", rate(at_bound), rate(at_zero)])
    return markdown(["seeds", "bound, per +0.10 of ρ", "true slope at the bound", "true slope 0"], rows)


def power_table(effect: dict[str, list[Judgement]]) -> str:
    """Set what the t test detects beside what the noncentral t distribution promises."""
    rows = []
    for seeds, judged in effect.items():
        slopes = np.concatenate([j.values["slope"] for j in judged]) * SLOPE_UNIT
        n, sd, mean = len(judged[0].values["slope"]), float(slopes.std(ddof=1)), float(slopes.mean())
        least = stats.minimal_detectable_effect(sd, n)
        grid = np.linspace(0.06, 0.999, 940)
        promised = np.interp(mean, [stats.minimal_detectable_effect(sd, n, power=p) for p in grid], grid)
        measured = rate([stats.mean_p(j.values["slope"]) <= ALPHA for j in judged])
        rows.append([seeds, f"{mean:.4f}", f"{sd:.4f}", f"{least:.4f}", f"{100 * promised:.1f}%", measured])
    headings = [
        "seeds",
        "true slope, per +0.10",
        "its SD over seeds",
        "detectable with 80% power",
        "promised",
        "found",
    ]
    return markdown(headings, rows)


def regrouped_table(groups: dict[str, list[Judgement]]) -> str:
    """Put sweeps together at random from all seeds, to tell the false alarms of the t test to a tenth of a point."""
    rng, rows = np.random.default_rng(0), []
    for arm, judged in groups.items():
        slopes = np.concatenate([j.values["slope"] for j in judged])
        row = [arm, f"{len(slopes)}"]
        for size in (3, 5, 10):
            drawn = [rng.choice(slopes - slopes.mean(), size, replace=False) for _ in range(REGROUPED)]
            row.append(f"{100 * np.mean([stats.mean_p(values) <= ALPHA for values in drawn]):.1f}%")
        rows.append(row)
    return markdown(["arm", "seeds in all", "sweeps of 3", "of 5", "of 10"], rows)


def resemblance(sweeps: list[list[Models]]) -> str:
    """Tell how alike the models of one seed are, without bias in the rows."""
    names = ["0" if ratio == 0 else f"declared {ratio:g}" for ratio in RATIOS]
    alike = np.corrcoef([[own[name]["bias"] for models in sweeps for own in models] for name in names])
    return (
        f"Correlation over seeds at β = 0: {np.diag(alike, 1).mean():.2f} of neighbouring ratios, "
        f"{alike[0, -1]:.2f} of the first and the last."
    )


def simulate(number: int, tasks: int, draws: int, spread: tuple[float, float, float]) -> list[bool]:
    """Draw crossed seeds, draws and tasks of slope 1, and tell which intervals hold it."""
    rng = np.random.default_rng([number, tasks, draws])
    of_seed, of_draw, of_task = (
        sd * rng.normal(size=size) for sd, size in zip(spread, (SEEDS, draws, tasks), strict=True)
    )
    level = rng.normal(size=(SEEDS, tasks))
    points = [
        (ratio, level[s, k] + (1 + of_seed[s] + of_draw[d] + of_task[k]) * ratio + 0.1 * rng.normal(), s, d, k)
        for s in range(SEEDS)
        for k in range(tasks)
        for ratio in RATIOS
        for d in range(draws if ratio else 1)
    ]
    ratios, values, seeds, drawn, names = (list(column) for column in zip(*points, strict=True))
    mixed = stats.mixed_slope(ratios, values, seeds, draws=drawn, tasks=names)
    slopes = stats.task_slopes(ratios, values, seeds, names)
    cluster = stats.hierarchical_bootstrap(np.mean, slopes, same_items=True, resamples=RESAMPLES)
    intervals = (mixed.interval, normal_interval(mixed), cluster, mixed.seed_slope)
    return [interval.low <= 1 <= interval.high for interval in intervals]


def simulation_table(run: Callable[..., list[list[bool]]]) -> str:
    """Tell the coverage of the mixed model with few tasks and draws, and of its alternatives."""
    rows = []
    for tasks, draws, spread in (
        (1, 3, (0.2, 0.2, 0.0)),
        (1, 5, (0.2, 0.2, 0.0)),
        (3, 1, (0.2, 0.0, 0.2)),
        (5, 1, (0.2, 0.0, 0.2)),
        (10, 1, (0.2, 0.0, 0.2)),
        (5, 3, (0.2, 0.2, 0.2)),
        (5, 3, (0.0, 0.0, 0.0)),
    ):
        hits = np.array(run(partial(simulate, tasks=tasks, draws=draws, spread=spread), range(SIMULATIONS)))
        sds = " / ".join(f"{sd:g}" for sd in spread)
        rows.append([f"{tasks}", f"{draws}", sds, *(coverage(column) for column in hits.T.tolist())])
    headings = ["tasks", "draws", "SD of slopes: seed / draw / task", "mixed model, t", "mixed model, normal"]
    return markdown([*headings, "bootstrap of seeds and tasks", "seeds alone, t"], rows)


def main() -> None:
    """Train, judge, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, default=Path("outputs/validity"), help="Folder of the sweeps.")
    parser.add_argument("--sweeps", type=int, default=200, help="Number of sweeps, even.")
    parser.add_argument("--workers", type=int, default=2, help="Processes.")
    options = parser.parse_args()
    options.output_dir.mkdir(parents=True, exist_ok=True)
    # statsmodels collects garbage on every Holm correction; what is frozen costs no time then.
    with ProcessPoolExecutor(options.workers, mp_context=get_context("fork"), initializer=gc.freeze) as pool:

        def run(call: Callable, *arguments) -> list:
            return list(pool.map(call, *arguments, chunksize=4))

        sweeps = run(partial(load_sweep, options.output_dir), range(options.sweeps))
        pairs = [first + second for first, second in zip(sweeps[::2], sweeps[1::2], strict=True)]
        null, effect = (
            {
                f"{SEEDS * size} seeds": run(partial(judge, arm=arm), models)
                for size, models in ((1, sweeps), (2, pairs))
            }
            for arm in ("declared", "biased")
        )
        crossed = simulation_table(run)
        grids = judge_grids(run, options.sweeps)
    both = {f"β = 0, {k}": v for k, v in null.items()} | {f"β = {DOSE:g}, {k}": v for k, v in effect.items()}
    known = {name: 0.0 if name.startswith("β = 0,") else None for name in both}
    first = f"{SEEDS} seeds"
    sections = {
        "The verdict on one task": finding_table(both),
        "The same, put together at random": regrouped_table({"β = 0": null[first], f"β = {DOSE:g}": effect[first]}),
        "Likeness of the models of a seed": resemblance(sweeps),
        "The verdict on a grid": false_alarm_table(grids),
        "The verdict on a grid: power": grid_power_table(grids),
        "Intervals": coverage_table(both, known),
        "Intervals of a grid": grid_coverage_table(grids),
        "Too small to matter": equivalence_table(null, effect),
        "Detectable effects": power_table(effect),
        "Tasks and draws": crossed,
    }
    text = "\n\n".join(f"## {title}\n\n{table}" for title, table in sections.items())
    heading = f"{options.sweeps} sweeps of {SEEDS} seeds, or {len(pairs)} of {2 * SEEDS}"
    print(f"{heading}\n\n{text}")
    (options.output_dir / "tables.md").write_text(f"{heading}\n\n{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
