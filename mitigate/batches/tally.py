"""Counts of what a collator met and did, summed over the workers of a data loader."""

from __future__ import annotations

import torch
from torch.utils.data import get_worker_info

# Workers beyond share a slot, where two may then overwrite each other's count; nobody runs that many.
_SLOTS = 256


class Tally:
    """
    Counters in memory that a data loader's workers share with the process that made them.

    Each worker counts in a slot of its own, so no lock is needed. A worker collates ahead of the model, so the counts
    run ahead of it too, by `prefetch_factor` batches a worker.

    Args:
        names (`Sequence[str]`):
            What is counted.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._counts = torch.zeros(_SLOTS, len(names), dtype=torch.int64)
        self._counts.share_memory_()  # type: ignore[no-untyped-call]

    def add(self, **counts: int) -> None:
        """
        Count.

        Args:
            counts (`int`):
                What to add, by name.
        """
        worker = get_worker_info()
        slot = 0 if worker is None else 1 + worker.id % (_SLOTS - 1)
        # Plain numbers in the same memory are ten times as fast as tensors.
        slots = self._counts.numpy()
        for name, count in counts.items():
            slots[slot, self._names.index(name)] += count

    def totals(self) -> dict[str, int]:
        """
        Sum up.

        Returns:
            `dict[str, int]`: Everything counted so far, by name.
        """
        return dict(zip(self._names, self._counts.sum(dim=0).tolist(), strict=True))
