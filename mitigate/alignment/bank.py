"""A bounded memory of past rows' features, for batches too small to compare real and augmented rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sample:
    """
    Features of real or of augmented rows.

    Args:
        features (`torch.Tensor` of shape `(n, d)`, float):
            One vector a row.
        groups (`tuple[int, ...]`):
            A number for each of the `n` rows, such as its label; rows are compared with those of their group.
    """

    features: Tensor
    groups: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.groups)

    def of_group(self, group: int) -> Tensor:
        """
        Choose the rows of one group.

        Args:
            group (`int`):
                The group.

        Returns:
            `torch.Tensor` of shape `(k, d)`: Their features.
        """
        rows = [row for row, other in enumerate(self.groups) if other == group]
        if len(rows) == len(self):
            return self.features
        return self.features.index_select(0, torch.tensor(rows, dtype=torch.long, device=self.features.device))


class FeatureBank:
    """
    The newest features of either side, without their gradients (cf. cross-batch memory, Wang et al. 2020, CVPR).

    Gradient accumulation does not enlarge the sample that a discrepancy compares; stored features do. They come from
    weights of earlier steps, so the bank should be small beside the number of rows in which the model changes much.

    Args:
        size (`int`):
            Rows kept on either side, at least 0.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._stored: dict[str, Sample] = {}

    def extend(self, side: str, current: Sample) -> Sample:
        """
        Put the stored rows behind those of the current batch.

        Args:
            side (`str`):
                Name of the side.
            current (`Sample`):
                The rows of the batch, with gradients.

        Returns:
            `Sample`: All rows, those of the batch first.
        """
        stored = self._stored.get(side)
        if stored is None:
            return current
        features = torch.cat([current.features, stored.features.to(current.features)])
        return Sample(features, current.groups + stored.groups)

    def push(self, side: str, current: Sample) -> None:
        """
        Store rows, and drop the oldest beyond the size.

        Args:
            side (`str`):
                Name of the side.
            current (`Sample`):
                The rows of the batch.
        """
        if self.size and len(current):
            detached = self.extend(side, Sample(current.features.detach(), current.groups))
            self._stored[side] = Sample(detached.features[: self.size], detached.groups[: self.size])

    def state(self) -> dict[str, Tensor]:
        """
        Give the contents for a checkpoint.

        Returns:
            `dict[str, torch.Tensor]`: Features and groups of each side.
        """
        state = {}
        for side, sample in self._stored.items():
            state[f"{side}.features"] = sample.features.clone()  # without the rows dropped, which share its memory
            state[f"{side}.groups"] = torch.tensor(sample.groups)
        return state

    def load(self, state: dict[str, Tensor]) -> None:
        """
        Take over the contents of a checkpoint, the newest first, as far as they fit.

        Args:
            state (`dict[str, torch.Tensor]`):
                What [`FeatureBank.state`] gave; other keys are left alone.
        """
        names = [name.removesuffix(".groups") for name in state if name.endswith(".groups")]
        self._stored = {
            side: Sample(state[f"{side}.features"][: self.size], tuple(state[f"{side}.groups"].tolist()[: self.size]))
            for side in names
        }
