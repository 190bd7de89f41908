"""Rows of all processes, for a term that compares whole batches."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import Tensor


def gather_marks(marks: Tensor, accelerator: Accelerator) -> list[Tensor]:
    """
    Tell every process what the rows of all are.

    Args:
        marks (`torch.Tensor` of shape `(n, k)`, int64):
            What is to be known of each row; `n` may differ between processes.
        accelerator (`Accelerator`):
            The trainer's accelerator.

    Returns:
        `list[torch.Tensor]`: The marks of each process, in order, on the CPU.
    """
    counts = accelerator.gather(torch.tensor([len(marks)], device=marks.device)).tolist()
    return [part.cpu() for part in _gather_padded(marks, counts, accelerator)]


def gather_rows(rows: Tensor, counts: list[int], accelerator: Accelerator) -> Tensor:
    """
    Put the representations of all processes' rows together; gradients flow into those of this process.

    Processes average their gradients, each of which holds the part of its own rows only. So the caller multiplies the
    term by the number of processes, and gets the gradient that one process with the whole batch would have. Without
    gathering, each process would compare its own few rows, which is another objective, not a noisier one.

    Args:
        rows (`torch.Tensor` of shape `(n, d)`, float):
            Representations; `n` may differ between processes, and be 0.
        counts (`list[int]`):
            `n` of each process.
        accelerator (`Accelerator`):
            The trainer's accelerator.

    Returns:
        `torch.Tensor` of shape `(sum of counts, d)`: All rows, in the order of the processes.
    """
    everyone = _gather_padded(rows.detach(), counts, accelerator)
    everyone[accelerator.process_index] = rows
    return torch.cat(everyone)


def _gather_padded(rows: Tensor, counts: list[int], accelerator: Accelerator) -> list[Tensor]:
    if not any(counts):
        return [rows] * len(counts)
    # Collectives need equal shapes.
    sent = rows.new_zeros(max(counts), rows.shape[1])
    sent[: len(rows)] = rows
    received = accelerator.gather(sent).view(len(counts), max(counts), rows.shape[1])
    return [part[:count] for part, count in zip(received, counts, strict=True)]
