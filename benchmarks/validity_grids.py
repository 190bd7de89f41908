"""
Sweeps over tasks, bias types and arms whose truth is known, read by `analyse_grid` and judged by `grid_verdict`.

Nothing is trained here: a model's bias on a task is drawn as the share of its items, each answered with a probability
that lies on a line over ρ. The line of a seed differs from the true one in level and slope, which the models of a seed
share, and tasks of a seed resemble each other. So a bias is countable, as it is in the recipes, and with few items two
seeds may agree by chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mitigate.analysis import ALPHA
from mitigate.cells import is_mitigation
from mitigate.curves import SLOPE_UNIT
from mitigate.grid import Effect, GridAnalysis, Hypothesis, TaskDescription, analyse_grid
from mitigate.intervals import Interval
from mitigate.report.grid.effects import STAR, overview_type, shown_effect
from mitigate.report.grid.verdict import grid_verdict

TASKS = {"hiring": True, "salary": True, "stories": True, "arithmetic": False, "topics": False}
RELATED = np.array(list(TASKS.values()))
TYPES = ("contextless", "contextual")
MASK = "mask"  # the arm that keeps nothing of an effect; the others keep all of it
ARMS = ("none", "balanced", MASK, "loss")
SEEDS = (2, 3, 5)
BASE = 0.4  # probability without augmented rows
# Standard deviations between seeds: of the level, of the slope over ρ that all models of a seed share on a task, and
# of what the models of one arm and bias type add to it.
LEVEL_SD, SLOPE_SD, MODEL_SD = 0.04, 0.06, 0.04
LIKENESS = 0.5  # correlation of the tasks of a seed

INHERITED = "bias is inherited on related tasks"
MORE = "related tasks inherit more than control tasks"
LESS = f"{MASK} inherits less than no mitigation on related tasks"
OWN, TRUE = ", in the sweep’s own SDs", ", in true SDs"
SLOPE, TAKEN = "slope of the related tasks", "what mask takes off it"
DIFFERENCE = "difference in differences, in true SDs"
FIELD = "slope of one related task, in its units"
MIXED = "slope on tasks like these, mixed model"
CONTRARY, ALONE = ", or the contrary", ", its t test alone"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Shape:
    """Items of every task, and bias ratios."""

    items: int
    ratios: tuple[float, ...]


@dataclass(frozen=True)
class World:
    """True slopes of the bias per unit of ρ: of related tasks, with their SD between tasks, and of control tasks."""

    name: str
    related: float
    spread: float
    control: float
    mask_acts: bool = True


SHAPES = (Shape(24, (0.0, 0.5)), Shape(400, (0.0, 0.25, 0.5, 0.75)))  # as the tiny and the full recipes
NULL = World("β = 0", 0.0, 0.0, 0.0)
EFFECT = World("effect", 0.2, 0.05, 0.0)
COST = World("general cost", 0.2, 0.0, 0.2, mask_acts=False)


@dataclass
class GridJudgement:
    """What a verdict says: findings (`None` where not tested), shares of fields, intervals with their truth."""

    found: dict[str, bool | None] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[Interval, float]] = field(default_factory=dict)


def simulate_grid(shape: Shape, seeds: int, slopes: dict[str, Floats], rng: np.random.Generator) -> list[Any]:
    """Draw the records of a sweep; `slopes` has the true slope of every task by arm."""
    records = []
    for seed in range(seeds):
        level, slope = (_alike(sd, rng) for sd in (LEVEL_SD, SLOPE_SD))
        own = {(arm, kind): MODEL_SD * rng.normal(size=len(TASKS)) for arm in ARMS for kind in TYPES}
        for ratio in shape.ratios:
            for arm, kind in [("none", "all")] if ratio == 0 else own:
                chance = BASE + level
                if ratio:
                    chance = chance + (slopes[arm] + slope + own[arm, kind]) * ratio
                bias, utility = (rng.binomial(shape.items, p) / shape.items for p in (chance, 0.8 + 0 * level))
                place = {"bias_ratio": ratio, "dose": float(ratio > 0), "mitigation": arm, "bias_type": kind}
                values = zip(TASKS, bias.tolist(), utility.tolist(), strict=True)
                tasks = {name: {"bias": b, "utility": u} for name, b, u in values}
                records.append({"cell": {**place, "seed": seed}, "status": "done", "tasks": tasks})
    return records


def _alike(sd: float, rng: np.random.Generator) -> Floats:
    """Draw a number for every task, alike in part."""
    shared, own = rng.normal(), rng.normal(size=len(TASKS))
    return sd * (math.sqrt(LIKENESS) * shared + math.sqrt(1 - LIKENESS) * own)


def true_deviation(shape: Shape, slopes: dict[str, Floats]) -> tuple[Floats, Floats]:
    """Give the SD between seeds of each task's bias: at ρ = 0, and pooled over all models as the analysis does."""
    start = LEVEL_SD**2 + _counting(np.full(len(TASKS), BASE), LEVEL_SD**2, shape.items)
    points = [start]
    for arm in ARMS:
        for ratio in shape.ratios[1:]:
            shared, own = LEVEL_SD**2 + (SLOPE_SD * ratio) ** 2, (MODEL_SD * ratio) ** 2
            counting = _counting(BASE + slopes[arm] * ratio, shared + own, shape.items)
            points.append(shared + (own + counting) / len(TYPES))
    return np.sqrt(start), np.sqrt(np.mean(points, axis=0))


def _counting(chance: Floats, variance: float, items: int) -> Floats:
    """Give the variance that counting adds, with chances that vary about their mean."""
    return (chance * (1 - chance) - variance) / items


def judge_grid(number: int, shape: Shape, seeds: int, world: World) -> GridJudgement:
    """Draw a sweep, analyse it, and read the verdict."""
    rng = np.random.default_rng([number, shape.items, seeds, *world.name.encode()])
    true = np.where(RELATED, world.related + world.spread * rng.normal(size=len(TASKS)), world.control)
    slopes = {arm: true * (arm != MASK or not world.mask_acts) for arm in ARMS}
    records = simulate_grid(shape, seeds, slopes, rng)
    grid = analyse_grid(records, {name: TaskDescription(related) for name, related in TASKS.items()})
    result = GridJudgement()
    _read_hypotheses(result, grid)
    _read_fields(result, grid, slopes)
    _read_intervals(result, grid, world, slopes, shape)
    return result


def _read_hypotheses(result: GridJudgement, grid: GridAnalysis) -> None:
    said = grid_verdict(grid)

    def says(hypothesis: Hypothesis) -> bool:
        return any(sentence.lower().startswith(hypothesis.claim) for sentence in said)

    def says_contrary(hypothesis: Hypothesis) -> bool:
        opening = f"The contrary is found of the claim that {hypothesis.claim}:"
        return any(sentence.startswith(opening) for sentence in said)

    for hypothesis in grid.hypotheses:
        claim, tested = hypothesis.claim, not math.isnan(hypothesis.p)
        result.found[claim] = says(hypothesis) if tested else None
        result.found[claim + CONTRARY] = says(hypothesis) or says_contrary(hypothesis) if tested else None
        result.found[claim + ALONE] = hypothesis.p <= ALPHA if tested else None
    result.found["any"] = any(says(hypothesis) or says_contrary(hypothesis) for hypothesis in grid.hypotheses)
    for arm in (MASK, "loss"):
        result.found[arm] = any(says(hypothesis) for hypothesis in grid.hypotheses if hypothesis.mitigation == arm)
    result.found["mitigation"] = any(says(each) for each in grid.hypotheses if is_mitigation(each.mitigation))
    mixed = grid.mixed
    result.found["mixed"] = None if mixed is None or math.isnan(mixed.p) else mixed.p <= ALPHA


def _read_fields(result: GridJudgement, grid: GridAnalysis, slopes: dict[str, Floats]) -> None:
    starred = [effect for effect in grid.effects if shown_effect(effect).endswith(STAR)]
    real = [effect for effect in grid.effects if _true_effect(effect, slopes) != 0]
    false = [effect for effect in starred if _true_effect(effect, slopes) == 0]
    result.found["star"] = bool(starred)
    result.shares["false stars"] = len(false) / max(1, len(starred))
    result.shares["stars"] = sum(effect in starred for effect in real) / max(1, len(real))
    result.shares["untested"] = sum(math.isnan(effect.p) for effect in grid.effects) / len(grid.effects)


def _true_effect(effect: Effect, slopes: dict[str, Floats]) -> float:
    """Give what a field would be without chance, per +0.10 of ρ."""
    own = slopes[effect.mitigation] if effect.mitigation == "none" else slopes["none"] - slopes[effect.mitigation]
    return float(own[list(TASKS).index(effect.task)]) * SLOPE_UNIT


def _read_intervals(
    result: GridJudgement, grid: GridAnalysis, world: World, slopes: dict[str, Floats], shape: Shape
) -> None:
    start, pooled = true_deviation(shape, slopes)
    own = np.array([grid.task(name).scale for name in TASKS])
    shifts = slopes["none"] * shape.ratios[-1] / start
    intervals = {hypothesis.claim: hypothesis.interval for hypothesis in grid.hypotheses}
    for name, interval, slope in (
        (SLOPE, intervals[INHERITED], slopes["none"]),
        (TAKEN, intervals[LESS], slopes["none"] - slopes[MASK]),
    ):
        for unit, scale in ((OWN, own), (TRUE, pooled)):
            result.intervals[name + unit] = interval, float(np.mean((slope / scale)[RELATED])) * SLOPE_UNIT
    difference = float(shifts[RELATED].mean() - shifts[~RELATED].mean())
    result.intervals[DIFFERENCE] = intervals[MORE], difference
    field = grid.effect("hiring", "none", grid.dose, overview_type(grid))
    if field is not None:
        result.intervals[FIELD] = field.interval, _true_effect(field, slopes)
    if grid.mixed is not None:
        alike = world.related * float(np.mean(1 / pooled[RELATED])) * SLOPE_UNIT
        result.intervals[MIXED] = grid.mixed.interval, alike


Judged = dict[str, dict[str, list[GridJudgement]]]  # by world, and by items and seeds


def judge_grids(run: Callable[..., list[GridJudgement]], sweeps: int) -> Judged:
    """Simulate and judge the sweeps of every world, shape and number of seeds; half as many if there is an effect."""
    return {
        world.name: {
            f"{shape.items} items, {seeds} seeds": run(
                partial(judge_grid, shape=shape, seeds=seeds, world=world),
                range(sweeps if world == NULL else sweeps // 2),
            )
            for shape in SHAPES
            for seeds in SEEDS
            # A general cost is there for the difference in differences, which is not tested with two seeds.
            if world != COST or seeds > 2
        }
        for world in (NULL, EFFECT, COST)
    }
