"""Cells of a sweep over bias ratio, dose, mitigation and seed, read from the records that it wrote."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

REQUIRED = ("bias", "utility")
# Metric of the rows that a model was trained on rather than of the model: how biased they are.
DATA_BIAS = "data_bias"
# Arms that are no mitigation of ours, for comparison.
BASELINES = ("none", "drop", "repeat", "add", "down-weight", "balanced", "cda")
# Baselines first, so that tables and legends read from what is compared against to what is compared.
ORDER = (*BASELINES, "token", "token-paired", "mask", "mask-random", "loss")
# Ending of an arm's name that makes it the control of the arm without: the same mitigation on rows drawn at random.
CONTROL = "-shuffled"
# Ending of the name of a control that acts on random words instead of rows.
RANDOM = "-random"
FIELDS = ("dose", "mitigation", "bias_ratio", "seed")
# Arms of the mix that train on real rows alone.
WITHOUT_AUGMENTED = ("drop", "repeat")
# Bias type of a cell that trains on augmented rows of every type, or on none.
ALL_TYPES = "all"


class Cell(NamedTuple):
    """
    Place of one model in the sweep.

    Args:
        dose (`float`):
            β, how biased the augmented rows are.
        mitigation (`str`):
            Name of the mitigation, `"none"` for no mitigation.
        bias_ratio (`float`):
            ρ, augmented rows over all rows. At 0 dose and mitigation mean nothing: the model belongs to every arm.
        seed (`int`):
            Training seed.
        bias_type (`str`, *optional*, defaults to `"all"`):
            Bias type of the augmented rows. A model of every type, or without augmented rows, has `"all"`.
    """

    dose: float
    mitigation: str
    bias_ratio: float
    seed: int
    bias_type: str = ALL_TYPES

    def __str__(self) -> str:
        if self.bias_ratio == 0:
            return f"ρ = 0, seed {self.seed}"
        kind = "" if self.bias_type == ALL_TYPES else f"{self.bias_type}, "
        return f"{kind}{self.mitigation}, β = {self.dose:g}, ρ = {self.bias_ratio:g}, seed {self.seed}"


def is_mitigation(arm: str) -> bool:
    """
    Tell mitigations from what they are compared with.

    Args:
        arm (`str`):
            Name of an arm.

    Returns:
        `bool`: Whether it is neither a baseline nor a control.
    """
    return arm not in BASELINES and not arm.endswith((CONTROL, RANDOM))


@dataclass
class Sweep:
    """
    The usable records of a sweep, and what became of the others.

    Args:
        metrics (`dict[Cell, dict[str, float]]`):
            Finite metrics of every model that was trained to the end.
        excluded (`dict[Cell, str]`):
            Why a cell that has a record cannot be used.
    """

    metrics: dict[Cell, dict[str, float]] = field(default_factory=dict)
    excluded: dict[Cell, str] = field(default_factory=dict)

    @property
    def arms(self) -> list[tuple[str, float]]:
        """Mitigation and dose of every arm; the largest dose first, and within a dose the baselines first."""
        arms = {(cell.mitigation, cell.dose) for cell in self.metrics if cell.bias_ratio > 0}
        return sorted(arms, key=lambda arm: (-arm[1], arm_rank(arm[0]), arm[0]))

    @property
    def ratios(self) -> tuple[float, ...]:
        """All bias ratios, ascending."""
        return tuple(sorted({cell.bias_ratio for cell in self.metrics}))

    @property
    def seeds(self) -> tuple[int, ...]:
        """All training seeds with a usable record, ascending."""
        return tuple(sorted({cell.seed for cell in self.metrics}))

    def models(self, mitigation: str, dose: float) -> list[tuple[Cell, dict[str, float]]]:
        """Return the models of one arm ascending by ratio and seed; those of ρ = 0 belong to every arm."""
        chosen = [cell for cell in self.metrics if cell.bias_ratio == 0 or cell[:2] == (dose, mitigation)]
        return [(cell, self.metrics[cell]) for cell in sorted(chosen, key=lambda cell: (cell.bias_ratio, cell.seed))]

    def missing(self) -> list[Cell]:
        """Return the cells without any record, though the same cell of another seed has one."""
        known = self.metrics.keys() | self.excluded.keys()
        seeds = {cell.seed for cell in known}
        return sorted({cell._replace(seed=seed) for cell in known for seed in seeds} - known)


def read_cells(records: Iterable[Mapping[str, Any]]) -> Sweep:
    """
    Read the records of a sweep.

    Args:
        records (`Iterable[Mapping[str, Any]]`):
            Records with `"cell"` (`bias_ratio`, `dose`, `mitigation`, `seed`), `"status"` and, if that is `"done"`,
            `"metrics"` with at least `bias` and `utility`, and `data_bias` where the bias of the training rows is
            known; other keys are not looked at. Metrics that are not finite numbers are left out, and a record whose
            bias or utility is not finite is excluded.

    Returns:
        `Sweep`: Usable and excluded cells.

    Raises:
        ValueError: If a record has no complete cell, if two have the same cell, if a model of ρ = 0 has a mitigation
            or a dose, or if a finished record lacks `bias` or `utility`.
    """
    sweep = Sweep()
    for record in records:
        cell = _cell(record)
        if cell in sweep.metrics or cell in sweep.excluded:
            raise ValueError(
                f"Two records of the cell ({cell}); pass one record per cell, and analyse sweeps that vary something "
                "else, such as the task, one value at a time."
            )
        status = record.get("status")
        if status != "done":
            sweep.excluded[cell] = str(status or "no status")
            continue
        metrics = _metrics(record, cell)
        lacking = [name for name in REQUIRED if name not in metrics]
        if lacking:
            sweep.excluded[cell] = f"{' and '.join(lacking)} not finite"
        else:
            sweep.metrics[cell] = metrics
    return sweep


def arm_rank(mitigation: str) -> int:
    """
    Tell where an arm stands in tables and legends.

    Args:
        mitigation (`str`):
            Name of the arm.

    Returns:
        `int`: Its place in `ORDER`, for a control that of its mitigation; unknown arms come last.
    """
    name = mitigation.removesuffix(CONTROL)
    return ORDER.index(name) if name in ORDER else len(ORDER)


def _cell(record: Mapping[str, Any]) -> Cell:
    place = record.get("cell") or {}
    lacking = [name for name in FIELDS if name not in place]
    if lacking:
        raise ValueError(
            f"A record's `cell` lacks {', '.join(lacking)}; it has: {', '.join(sorted(place)) or 'nothing'}."
        )
    # Rounded, so that 0.1 + 0.2 and 0.3 are one ratio.
    ratio, dose = round(float(place["bias_ratio"]), 9), round(float(place["dose"]), 9)
    cell = Cell(dose, str(place["mitigation"]), ratio, int(place["seed"]))
    if ratio == 0 and (dose, cell.mitigation) != (0.0, "none"):
        raise ValueError(
            f'A record at ρ = 0 (seed {cell.seed}) has mitigation "{cell.mitigation}" and dose {dose:g}; without '
            'augmented rows there is only one model per seed, with mitigation "none" and dose 0.'
        )
    return cell


def _metrics(record: Mapping[str, Any], cell: Cell) -> dict[str, float]:
    metrics = record.get("metrics") or {}
    lacking = [name for name in REQUIRED if name not in metrics]
    if lacking:
        raise ValueError(
            f"The finished record ({cell}) has no metric {' and '.join(lacking)}; it has: "
            f"{', '.join(sorted(metrics)) or 'none'}."
        )
    numbers = {k: v for k, v in metrics.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return {name: float(value) for name, value in numbers.items() if math.isfinite(value)}
