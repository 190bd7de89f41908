"""Rows of all processes, for a term that compares whole batches."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import Tensor


def gather_rows(rows: Tensor, augmented: Tensor, accelerator: Accelerator) -> tuple[Tensor, Tensor]:
    """
    Put the representations of all processes' rows together; gradients flow into those of this process.

    Processes average their gradients, each of which holds the part of its own rows only. So the caller multiplies the
    term by the number of processes, and gets the gradient that one process with the whole batch would have. Without
    gathering, each process would compare its own few rows, which is another objective, not a noisier one.

    Args:
        rows (`torch.Tensor` of shape `(n, d)`, float):
            Representations; `n` may differ between processes.
        augmented (`torch.Tensor` of shape `(n,)`, bool):
            Which rows are augmented.
        accelerator (`Accelerator`):
            The trainer's accelerator.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: All rows and flags, in the order of the processes.
    """
    counts: list[int] = accelerator.gather(torch.tensor([len(rows)], device=rows.device)).tolist()
    # Collectives need equal shapes. The flags travel as one more column.
    sent = rows.new_zeros(max(counts), rows.shape[1] + 1)
    sent[: len(rows)] = torch.cat([rows.detach(), augmented[:, None].to(rows)], dim=1)
    received = accelerator.gather(sent).view(len(counts), max(counts), -1)
    parts = [part[:count] for part, count in zip(received, counts, strict=True)]
    flags = torch.cat([part[:, -1] for part in parts]).bool()
    everyone = [part[:, :-1] for part in parts]
    everyone[accelerator.process_index] = rows
    return torch.cat(everyone), flags
