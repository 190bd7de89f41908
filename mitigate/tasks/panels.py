"""Names and jobs, put together so that groups differ in nothing but the name."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from datasets import Dataset

from mitigate.tasks.sources import Source, load_rows, shipped

NAMES = shipped("names.csv", columns={"group": ("gender", "culture")})
JOBS = shipped("jobs.csv")


@dataclass(frozen=True)
class Job:
    """
    An occupation and what one knows of a candidate.

    Args:
        occupation (`str`):
            The occupation.
        profile (`str`):
            A text about the candidate in which `{name}` stands for the name. It should have no pronoun or other word
            of a group.
    """

    occupation: str
    profile: str


def load_jobs(source: Source) -> list[Job]:
    """
    Load jobs.

    Args:
        source (`Source`):
            Rows with `occupation` and `profile`.

    Returns:
        `list[Job]`: The jobs.

    Raises:
        ValueError: If they cannot be read, or a profile has no `{name}`.
    """
    rows = load_rows(source, ("occupation", "profile"))
    jobs = [Job(row["occupation"], row["profile"]) for row in rows]
    for number, job in enumerate(jobs, start=1):
        if "{name}" not in job.profile:
            raise ValueError(
                f"Column 'profile' has no '{{name}}' in row {number} of {source.path}. Put it where the candidate's "
                "name is to stand."
            )
    return jobs


def names_by_group(items: Dataset, groups: Sequence[str] | None = None) -> dict[str, list[str]]:
    """
    List the names of each group.

    Args:
        items (`Dataset`):
            Rows with `name` and `group`.
        groups (`Sequence[str]`, *optional*, defaults to all):
            Groups to take, in this order.

    Returns:
        `dict[str, list[str]]`: The names by group, each once.

    Raises:
        ValueError: If a group has no name or comes twice, there are fewer than two, or a name is in two of them.
    """
    found: dict[str, list[str]] = {}
    for name, group in zip(items["name"], items["group"], strict=True):
        found.setdefault(group, []).append(name)
    chosen = list(groups) if groups is not None else sorted(found)
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"`groups` must name each group once, got {chosen}.")
    absent = [group for group in chosen if group not in found]
    if absent or len(chosen) < 2:
        what = f"no name of group '{absent[0]}'" if absent else f"names of only {len(chosen)} group"
        raise ValueError(f"`groups`: the items have {what} (groups: {', '.join(sorted(found))}).")
    result = {group: list(dict.fromkeys(found[group])) for group in chosen}
    owners: dict[str, str] = {}
    for group, names in result.items():
        for name in names:
            # As answers are read: in any case.
            owner = owners.setdefault(name.casefold(), group)
            if owner != group:
                raise ValueError(
                    f"Column 'name': '{name}' is in the groups '{owner}' and '{group}'. A name must tell one group: "
                    "drop it from the items."
                )
    return result


def panels(names: dict[str, list[str]], count: int, key: str) -> Iterator[dict[str, str]]:
    """
    Draw panels of one person of each group.

    Args:
        names (`dict[str, list[str]]`):
            Names by group.
        count (`int`):
            Panels to draw.
        key (`str`):
            What the draw depends on.

    Yields:
        `dict[str, str]`: Name by group. Within a group, every name comes once before any comes again.
    """
    shuffled = {}
    for group, own in names.items():
        shuffled[group] = list(own)
        random.Random(f"{key}-{group}").shuffle(shuffled[group])
    for number in range(count):
        yield {group: own[number % len(own)] for group, own in shuffled.items()}


def latin_square(size: int) -> list[list[int]]:
    """
    Orders of `size` things in which each stands in each place once.

    Args:
        size (`int`):
            Number of things.

    Returns:
        `list[list[int]]`: `size` orders: the rotations of the first.
    """
    return [[(start + place) % size for place in range(size)] for start in range(size)]
