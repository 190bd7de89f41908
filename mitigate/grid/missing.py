"""What could not be read: shares of unparsed answers and refusals by task, and the worst that they could hide."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from mitigate.cells import Cell
from mitigate.grid.projection import Record, metrics_of

_BOUNDS = ("bias_low", "bias_high")
# Seed and bias type of a model, and what was measured of it.
_Models = Mapping[tuple[int, str], Mapping[str, Any]]


@dataclass(frozen=True)
class MissingAnswers:
    """
    Answers of one arm to one task that could not be read.

    Args:
        task (`str`):
            Name of the task.
        mitigation (`str`):
            Name of the arm; `"none"` at ρ = 0.
        dose (`float`):
            β of the arm; 0 at ρ = 0.
        bias_ratio (`float`):
            ρ of the models.
        models (`int`):
            Models that are averaged, of all seeds and bias types.
        unparsed (`float`):
            Share in [0, 1] of answers that could not be read, refusals among them.
        refused (`float`):
            Share in [0, 1] of answers that refuse.
        worst_group (`str`):
            Group with the largest share of unparsed answers.
        worst_unparsed (`float`):
            That share.
        bias (`float`):
            Mean bias of what could be read.
        bounds (`tuple[float, float]`):
            Mean bias if what could not be read were the best and the worst for it.
        worst_shift (`tuple[float, float]`):
            Least and largest mean shift from the model of the same seed at ρ = 0 that these bounds allow, over the
            models whose bias is known at both ends, as the tests have it; NaN at ρ = 0, or if there are none.
    """

    task: str
    mitigation: str
    dose: float
    bias_ratio: float
    models: int
    unparsed: float
    refused: float
    worst_group: str
    worst_unparsed: float
    bias: float
    bounds: tuple[float, float]
    worst_shift: tuple[float, float]


def missing_answers(records: Iterable[Record], task: str) -> Iterator[MissingAnswers]:
    """
    Sum up what could not be read.

    Args:
        records (`Iterable[Mapping[str, Any]]`):
            Records of a sweep.
        task (`str`):
            Name of the task.

    Yields:
        `MissingAnswers`: For ρ = 0 and then for each arm at its largest ρ; nothing if the task's answers cannot be
        missing, or the records do not say.
    """
    found: dict[tuple[float, str, float], dict[tuple[int, str], Mapping[str, Any]]] = {}
    for record in records:
        metrics = metrics_of(record, task) if record.get("status") == "done" else None
        if metrics and any(name.startswith("unparsed/") for name in metrics):
            cell = Cell(**record["cell"])
            models = found.setdefault((cell.dose, cell.mitigation, cell.bias_ratio), {})
            models[cell.seed, cell.bias_type] = metrics
    start = {seed: metrics for (seed, _), metrics in found.get((0.0, "none", 0.0), {}).items()}
    largest: dict[tuple[float, str], float] = {}
    for dose, mitigation, ratio in found:
        largest[dose, mitigation] = max(ratio, largest.get((dose, mitigation), 0.0))
    for (dose, mitigation, ratio), models in found.items():
        if ratio == 0 or ratio == largest[dose, mitigation]:
            yield _summary((task, mitigation, dose, ratio), models, start)


def _summary(
    place: tuple[str, str, float, float], models: _Models, start: Mapping[int, Mapping[str, Any]]
) -> MissingAnswers:
    found = [*models.values()]
    groups = sorted({name.partition("/")[2] for metrics in found for name in metrics if name.startswith("unparsed/")})
    by_group = {group: _share(found, "unparsed", [group]) for group in groups}
    worst = max(groups, key=lambda group: by_group[group])
    return MissingAnswers(
        *place,
        models=len(found),
        unparsed=_share(found, "unparsed", groups),
        refused=_share(found, "refused", groups),
        worst_group=worst,
        worst_unparsed=by_group[worst],
        bias=_mean(found, "bias"),
        bounds=_mean_bounds(found),
        worst_shift=_worst_shift(models, start) if place[3] > 0 else (math.nan, math.nan),
    )


def _worst_shift(models: _Models, start: Mapping[int, Mapping[str, Any]]) -> tuple[float, float]:
    pairs = [(start[seed], metrics) for (seed, _), metrics in models.items() if seed in start]
    known = [pair for pair in pairs if all(math.isfinite(_mean([metrics], "bias")) for metrics in pair)]
    before, after = (_mean_bounds([pair[end] for pair in known]) for end in (0, 1))
    return after[0] - before[1], after[1] - before[0]


def _share(found: Sequence[Mapping[str, Any]], name: str, groups: Sequence[str]) -> float:
    """Weigh the groups by their answers."""
    pairs = [(metrics.get(f"{name}/{group}"), metrics.get(f"n/{group}", 1.0)) for metrics in found for group in groups]
    known = [(share, n) for share, n in pairs if share is not None and n]
    answers = math.fsum(n for _, n in known)
    return math.fsum(share * n for share, n in known) / answers if answers else math.nan


def _mean_bounds(found: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    low, high = (_mean(found, name) for name in _BOUNDS)
    return low, high


def _mean(found: Sequence[Mapping[str, Any]], name: str) -> float:
    """Average over models; NaN where one has no number, since a mean of the others would hide it."""
    values = [metrics.get(name) for metrics in found]
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    return fmean(numbers) if numbers and len(numbers) == len(values) else math.nan
