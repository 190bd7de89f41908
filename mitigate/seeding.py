"""Random draws that do not depend on who else draws."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch


def text_generator(ids: Sequence[int], *key: object) -> random.Random:
    """
    Make the generator of one text, whose draws do not depend on who asks: any number of workers draws the same.

    Args:
        ids (`Sequence[int]`):
            Token ids of the text. Equal texts have equal generators.
        key (`object`):
            What else the draws depend on, such as seed, epoch and purpose.

    Returns:
        `random.Random`: The generator.
    """
    digest = hashlib.blake2b(np.asarray(ids, dtype=np.int64).tobytes(), key=repr(key).encode()[:64], digest_size=8)
    return random.Random(digest.digest())


@contextmanager
def preserved_random_state(device: torch.device) -> Iterator[None]:
    """
    Leave the global random state as it was, whatever is drawn meanwhile: that of Python, NumPy and PyTorch.

    Args:
        device (`torch.device`):
            Besides the CPU, the device whose state is kept, if it is a CUDA device.
    """
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
