"""The alignment term of a micro-batch, and what is known of those before it."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer

from mitigate.alignment import (
    Discrepancy,
    FeatureBank,
    Sample,
    conditional_discrepancy,
    effective_rank,
    sliced_wasserstein,
)
from mitigate.callbacks.rows import SIDES, BatchRows, read_rows
from mitigate.callbacks.settings import AlignmentSettings
from mitigate.callbacks.weighting import Factor, Weighting


class AlignmentTerm:
    """
    Compute the term of each micro-batch, fill the bank, and keep the running means for the logs.

    Args:
        settings (`AlignmentSettings`):
            What to compute.
        trainer (`Trainer`):
            The trainer.
    """

    def __init__(self, settings: AlignmentSettings, trainer: Trainer) -> None:
        self._settings = settings
        self._trainer = trainer
        self._bank = FeatureBank(settings.bank_size)
        self._weighting = Weighting(settings, trainer)
        self._seen: list[Tensor] = []
        self._ran = self._acted = 0
        self._total: Tensor | float = 0.0

    @property
    def ran(self) -> int:
        """Micro-batches since the last log."""
        return self._ran

    def read(self, kwargs: dict[str, Any], provenance: Tensor) -> BatchRows:
        """
        Tell which rows a batch holds, see [`read_rows`].

        Args:
            kwargs (`dict`):
                Keyword arguments of the model's forward pass.
            provenance (`torch.Tensor` of shape `(batch, length)`, int64):
                Segment and provenance of each token.

        Returns:
            `BatchRows`: The rows.
        """
        pooling, condition = self._settings.pooling, self._settings.condition
        return read_rows(
            kwargs, provenance, pooling=pooling, condition=condition, accelerator=self._trainer.accelerator
        )

    def __call__(self, hidden: Tensor, rows: BatchRows) -> tuple[Tensor, Factor] | None:
        """
        Compute the term of a micro-batch.

        Args:
            hidden (`torch.Tensor` of shape `(batch, length, d)`, float):
                Hidden states.
            rows (`BatchRows`):
                The rows of the batch.

        Returns:
            `tuple[torch.Tensor, Callable]` or `None`: The term and its factor, or `None` if too few rows are there.
        """
        self._ran += 1
        with torch.autocast(hidden.device.type, enabled=False):
            current = rows.pool(hidden, self._trainer.accelerator)
            if self._settings.detach_real:
                current["real"] = Sample(current["real"].features.detach(), current["real"].groups)
            term = self._compare(current)
            for side in SIDES:
                self._bank.push(side, current[side])
            if term is None:
                return None
            self._acted += 1
            self._total = self._total + term.detach()
            return term, self._weighting.factor(term, hidden)

    def pop_logs(self) -> dict[str, float]:
        """
        Give what is to be logged, and start anew.

        Returns:
            `dict[str, float]`: The means since the last log.
        """
        logs = {"alignment/coverage": self._acted / self._ran}
        if self._acted:
            logs[f"alignment/{self._settings.name}"] = float(self._total) / self._acted
            if self._seen:  # else they came before the checkpoint from which this run resumed
                logs["alignment/effective_rank"] = effective_rank(torch.cat(self._seen))
            if self._settings.relative or self._settings.weight_warmup_steps:
                logs["alignment/weight"] = float(self._weighting.applied) / self._acted
        self._ran = self._acted = 0
        self._total = self._weighting.applied = 0.0
        return logs

    def state(self) -> dict[str, Tensor]:
        """
        Give all that an unbroken run would know at this point.

        Returns:
            `dict[str, torch.Tensor]`: The bank and the running means.
        """
        running = [self._ran, self._acted, float(self._total), float(self._weighting.applied)]
        return {"running": torch.tensor(running, dtype=torch.float64), **self._bank.state()}

    def load(self, state: dict[str, Tensor]) -> None:
        """
        Go on where a saved run stopped.

        Args:
            state (`dict[str, torch.Tensor]`):
                What [`AlignmentTerm.state`] gave.
        """
        ran, acted, self._total, self._weighting.applied = state["running"].tolist()
        self._ran, self._acted = int(ran), int(acted)
        self._bank.load(state)

    def _compare(self, current: dict[str, Sample]) -> Tensor | None:
        step = self._trainer.state.global_step
        banked = step >= self._settings.bank_warmup_steps
        sides = {side: self._bank.extend(side, rows) if banked else rows for side, rows in current.items()}
        # Rows of the bank have no gradient: groups of which no other rows are there would only dilute the others.
        moving = current["augmented"].groups if self._settings.detach_real else _groups(current)
        term = conditional_discrepancy(
            self._discrepancy(step),
            sides["real"],
            sides["augmented"],
            groups=set(moving),
            at_least=self._settings.needed,
        )
        if term is not None:
            self._seen = [side.features.detach() for side in sides.values()]
        return term

    def _discrepancy(self, step: int) -> Discrepancy:
        distance = self._settings.distance
        return partial(distance, seed=step) if distance is sliced_wasserstein else distance


def _groups(current: dict[str, Sample]) -> tuple[int, ...]:
    return tuple(group for rows in current.values() for group in rows.groups)
