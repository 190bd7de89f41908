"""How many directions representations make use of."""

from __future__ import annotations

import torch
from torch import Tensor


def effective_rank(features: Tensor) -> float:
    r"""
    Effective rank of centred features (Roy & Vetterli 2007, EUSIPCO, Def. 1).

    \\( \exp(-\sum_i p_i \log p_i) \\), where \\( p_i \\) are the singular values divided by their sum. A loss that
    draws representations together can be satisfied by making them all alike; then this number falls. The features are
    centred first, for a large common mean, which language models tend to have, would hide all else. Values compare
    only between samples of as many rows.

    Args:
        features (`torch.Tensor` of shape `(n, d)`, float):
            One vector a row.

    Returns:
        `float`: Between 1 and the smaller of `n - 1` and `d`; 0 if all rows are the same but for rounding.
    """
    values = torch.linalg.svdvals(features - features.mean(dim=0))
    # What rounding leaves of identical rows is no direction.
    noise = torch.finfo(features.dtype).eps * features.norm() * max(features.shape) ** 0.5
    shares = values.where(values > noise, 0)
    if not shares.any():
        return 0.0
    return float(torch.special.entr(shares / shares.sum()).sum().exp())
