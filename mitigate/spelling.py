"""Names that were probably meant, and names that differ in their spelling alone."""

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


def check_spelling(names: Iterable[str], where: str) -> None:
    """
    Refuse names that differ in case alone: what is one group would be two, or a group without half of its rows.

    Args:
        names (`Iterable[str]`):
            Names of groups or labels, each as often as you like.
        where (`str`):
            What holds them, for the error.

    Raises:
        ValueError: If two do.
    """
    known: dict[str, str] = {}
    for name in names:
        first = known.setdefault(name.casefold(), name)
        if first != name:
            raise ValueError(f"{where} has '{first}' and '{name}', which differ in case alone. Write them alike.")
