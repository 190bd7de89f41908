"""Random draws that depend on a text and not on who asks, so that any number of workers draws the same."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

import numpy as np


def text_generator(ids: Sequence[int], *key: object) -> random.Random:
    """
    Make the generator of one text.

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
