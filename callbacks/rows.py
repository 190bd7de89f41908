"""Which rows a batch holds, on all processes, known before the model runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from mitigate.alignment import Pooling, Sample, answer_tokens, last_tokens, mean_pool, number_segments, token_counts
from mitigate.callbacks.gathering import gather_marks, gather_rows
from mitigate.provenance import GROUP_SHIFT

SIDES = ("real", "augmented")


@dataclass(frozen=True)
class BatchRows:
    """
    The rows of one micro-batch.

    Whatever has to be copied from the device is read here, when the trainer has just waited for it anyway; while the
    model runs, nothing waits.

    Args:
        index (`torch.Tensor` of shape `(batch, length)`, int64):
            Row of each token that is pooled, -1 for other tokens.
        local (`int`):
            Rows that this process's batch holds.
        kept (`tuple[int, ...]`):
            Those of them with tokens to pool.
        counts (`tuple[int, ...]`):
            Number of kept rows of each process.
        augmented (`tuple[bool, ...]`):
            Provenance of the kept rows of all processes, in order.
        groups (`tuple[int, ...]`):
            Group of each of these rows.
    """

    index: Tensor
    local: int
    kept: tuple[int, ...]
    counts: tuple[int, ...]
    augmented: tuple[bool, ...]
    groups: tuple[int, ...]

    def pool(self, hidden: Tensor, accelerator: Accelerator) -> dict[str, Sample]:
        """
        Pool hidden states, and part real from augmented rows.

        Args:
            hidden (`torch.Tensor` of shape `(batch, length, d)`, float):
                Hidden states of this process's batch.
            accelerator (`Accelerator`):
                The trainer's accelerator.

        Returns:
            `dict[str, Sample]`: The real and the augmented rows of all processes.
        """
        rows = mean_pool(hidden, self.index, self.local)
        if len(self.kept) < self.local:
            rows = _choose(rows, self.kept)
        if len(self.counts) > 1:
            rows = gather_rows(rows, list(self.counts), accelerator)
        chosen = {
            side: tuple(row for row, flag in enumerate(self.augmented) if flag == (side == "augmented"))
            for side in SIDES
        }
        return {
            side: Sample(_choose(rows, those), tuple(self.groups[row] for row in those))
            for side, those in chosen.items()
        }


def read_rows(
    kwargs: dict[str, Any], provenance: Tensor, *, pooling: Pooling, condition: str | None, accelerator: Accelerator
) -> BatchRows:
    """
    Tell which rows a batch holds.

    Args:
        kwargs (`dict`):
            Keyword arguments of the model's forward pass.
        provenance (`torch.Tensor` of shape `(batch, length)`, int64):
            Group, segment and provenance of each token, see [`~mitigate.batches.ProvenanceCollator`].
        pooling (`"mean"`, `"last"` or `"answer"`):
            Which tokens of a row are pooled.
        condition (`str`, *optional*):
            What tells the group of each row: the keyword argument `"labels"`, or else the provenance.
        accelerator (`Accelerator`):
            The trainer's accelerator.

    Returns:
        `BatchRows`: The rows of this process and, if there are several, of all.

    Raises:
        ValueError: If the batch lacks what `pooling` or `condition` need.
    """
    token_groups = provenance >> GROUP_SHIFT
    index, augmented = number_segments(provenance - token_groups.clamp_min(0).mul(1 << GROUP_SHIFT))
    segments = len(augmented)
    groups = _classes(kwargs, segments) if condition == "labels" else _of_segments(token_groups, index, segments)
    if pooling == "last":
        index = last_tokens(index)
    elif pooling == "answer":
        index = answer_tokens(index, kwargs.get("labels"))
    marks = torch.stack([augmented.cpu().long(), groups.cpu().long()], dim=1)
    kept = token_counts(index, segments).cpu() > 0
    marks = marks[kept]
    everyone = [marks] if accelerator.num_processes == 1 else gather_marks(marks.to(provenance.device), accelerator)
    return BatchRows(
        index=index,
        local=segments,
        kept=tuple(kept.nonzero().flatten().tolist()),
        counts=tuple(len(part) for part in everyone),
        augmented=tuple(bool(flag) for flag in torch.cat(everyone)[:, 0].tolist()),
        groups=tuple(torch.cat(everyone)[:, 1].tolist()),
    )


def _of_segments(values: Tensor, index: Tensor, segments: int) -> Tensor:
    """Give each segment the value that all of its tokens have."""
    in_one = index >= 0
    return values.new_zeros(segments).scatter(0, index[in_one], values[in_one])


def _classes(kwargs: dict[str, Any], rows: int) -> Tensor:
    labels: Tensor | None = kwargs.get("labels")
    if labels is None or tuple(labels.shape) != (rows,) or labels.is_floating_point():
        found = "none" if labels is None else f"{labels.dtype} of shape {tuple(labels.shape)}"
        raise ValueError(
            f"`condition='labels'` needs a batch with one class a row, integers of shape ({rows},), as for sequence "
            f"classification; this batch has {found}. Name a column of the rows, or leave `condition` out."
        )
    return labels


def _choose(rows: Tensor, which: tuple[int, ...]) -> Tensor:
    return rows.index_select(0, torch.tensor(which, dtype=torch.long, device=rows.device))
