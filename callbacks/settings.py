"""What an alignment loss is told, checked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from mitigate.alignment import MINIMUM_ROWS, POOLINGS, Discrepancy, Pooling, get_discrepancy


@dataclass(frozen=True, kw_only=True)
class AlignmentSettings:
    """
    Settings of [`AlignmentLossCallback`], which documents them.

    Raises:
        ValueError: If one of them is out of range or of another type.
    """

    weight: float
    discrepancy: str | Callable[[Tensor, Tensor], Tensor]
    relative: bool
    weight_warmup_steps: int
    pooling: Pooling
    layer: int | None
    detach_real: bool
    condition: str | None
    bank_size: int
    bank_warmup_steps: int

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"`weight` must be a finite number, at least 0, got {self.weight}.")
        if isinstance(self.discrepancy, str):
            get_discrepancy(self.discrepancy)
        elif not callable(self.discrepancy):
            raise ValueError(
                f"`discrepancy` must be a name, such as 'mmd', or a function of two tensors, got {self.discrepancy!r}."
            )
        if self.pooling not in POOLINGS:
            raise ValueError(f"`pooling` must be one of {', '.join(map(repr, POOLINGS))}, got {self.pooling!r}.")
        if self.layer is not None and type(self.layer) is not int:
            raise ValueError(f"`layer` must be None (the final hidden states) or an integer, got {self.layer!r}.")
        if self.condition is not None and not isinstance(self.condition, str):
            raise ValueError(
                "`condition` must be None, 'labels' (those of a sequence classifier) or the name of a column, got "
                f"{self.condition!r}."
            )
        for name in ("bank_size", "bank_warmup_steps", "weight_warmup_steps"):
            value = getattr(self, name)
            if type(value) is not int or value < 0:
                raise ValueError(f"`{name}` must be an integer, at least 0, got {value!r}.")
        if self.bank_warmup_steps and not self.bank_size:
            raise ValueError(
                f"`bank_warmup_steps={self.bank_warmup_steps}` says from when on a bank is used, but there is none: "
                "set `bank_size` to the rows that it keeps on either side, or leave it out."
            )

    @property
    def distance(self) -> Discrepancy:
        """The function that computes the discrepancy."""
        return get_discrepancy(self.discrepancy) if isinstance(self.discrepancy, str) else self.discrepancy

    @property
    def group_column(self) -> str | None:
        """The column of the data set that tells the group of each row, if one does."""
        return None if self.condition == "labels" else self.condition

    @property
    def name(self) -> str:
        """The name under which the term is logged."""
        return self.discrepancy if isinstance(self.discrepancy, str) else _name(self.discrepancy)

    @property
    def needed(self) -> int:
        """Rows of either kind that the discrepancy needs."""
        return MINIMUM_ROWS.get(self.distance, 1)


def _name(function: Callable[..., Tensor]) -> str:
    return str(getattr(function, "__name__", "discrepancy"))
