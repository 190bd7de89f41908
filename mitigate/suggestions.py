"""What a misspelt name was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """
    Name what was probably meant, for the end of an error message.

    Args:
        name (`str`):
            What was written.
        allowed (`Iterable[str]`):
            What could have been.

    Returns:
        `str`: A question with a space before it; empty if nothing is near.
    """
    near = get_close_matches(name, list(allowed), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""
