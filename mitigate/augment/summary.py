"""What became of an augmentation: rejected shares by bias type, group and reason, tokens and cost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Group as Renderables
from rich.table import Table
from rich.text import Text

from mitigate.augment.bias_types import AXES
from mitigate.augment.generators import Answer
from mitigate.augment.rows import Row, Rows

Counts = dict[str, Counter[str]]
_ACCEPTED = "accepted"


@dataclass(frozen=True)
class Usage:
    """
    Tokens that were read and written, and what they cost.

    Args:
        prompt_tokens (`int`):
            Tokens of the prompts.
        completion_tokens (`int`):
            Tokens of the answers.
        untold (`int`):
            Answers that do not tell their tokens.
        cost (`float`):
            Cost of the tokens told, in the currency of the prices.
    """

    prompt_tokens: int
    completion_tokens: int
    untold: int
    cost: float


def count_usage(answers: Iterable[Answer], *, price_prompt: float, price_completion: float) -> Usage:
    """
    Add up the tokens of answers.

    Args:
        answers (`Iterable[Answer]`):
            The answers.
        price_prompt (`float`):
            Price of a million tokens of prompts.
        price_completion (`float`):
            Price of a million tokens of answers.

    Returns:
        `Usage`: The sums.
    """
    told = [(answer.prompt_tokens, answer.completion_tokens) for answer in answers]
    known = [(prompt, completion) for prompt, completion in told if prompt is not None and completion is not None]
    prompts, completions = sum(prompt for prompt, _ in known), sum(completion for _, completion in known)
    cost = (prompts * price_prompt + completions * price_completion) / 1e6
    return Usage(prompts, completions, len(told) - len(known), cost)


def count_reasons(rows: Rows) -> dict[str, Counts]:
    """
    Count what became of the rows.

    Args:
        rows (`Rows`):
            The rows.

    Returns:
        `dict[str, dict[str, Counter]]`: By `"type"` (the six levels), `"cell"` (the eight of them crossed) and
        `"group"`: for each of these, rows by `"accepted"` or the reason of their rejection.
    """
    places: dict[str, Callable[[Row], list[str]]] = {
        "type": lambda row: [row[axis] for axis in AXES],
        "cell": lambda row: [row["bias_type"]],
        "group": lambda row: [f"{row['attribute']}: {row['group']}"],
    }
    counts: dict[str, Counts] = {kind: defaultdict(Counter) for kind in places}
    for row in [*rows.accepted, *rows.rejected]:
        for kind, names in places.items():
            for name in names(row):
                counts[kind][name][row.get("reason", _ACCEPTED)] += 1
    return {kind: dict(found) for kind, found in counts.items()}


def render_summary(rows: Rows) -> Renderables:
    """
    Draw the tables of rejected shares.

    Args:
        rows (`Rows`):
            The rows.

    Returns:
        `rich.console.Group`: One table by bias type, one by group.
    """
    counts = count_reasons(rows)
    levels = [level for axis in AXES.values() for level in axis if level in counts["type"]]
    by_type = {level: counts["type"][level] for level in levels}
    return Renderables(_table("bias type", by_type), _table("group", counts["group"]))


def _table(title: str, counts: Mapping[str, Counter[str]]) -> Table:
    reasons = sorted({reason for found in counts.values() for reason in found} - {_ACCEPTED})
    table = Table(title=f"By {title}", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column(title)
    for column in ("rows", "rejected", *reasons):
        table.add_column(column, justify="right")
    for name, found in counts.items():
        total = found.total()
        share = f"{1 - found[_ACCEPTED] / total:.1%}"
        # Text, not str: rich would read brackets in a name as markup.
        table.add_row(Text(name), str(total), share, *(str(found[reason]) for reason in reasons))
    return table


def summarise(rows: Rows, usage: Usage) -> dict[str, Any]:
    """
    Write what became of an augmentation as a mapping, for a file.

    Args:
        rows (`Rows`):
            The rows.
        usage (`Usage`):
            The tokens of their answers.

    Returns:
        `dict`: Counts, tokens and cost.
    """
    return {
        "accepted": len(rows.accepted),
        "rejected": len(rows.rejected),
        "missing": rows.missing,
        "reasons": {
            kind: {name: dict(found) for name, found in by.items()} for kind, by in count_reasons(rows).items()
        },
        "usage": vars(usage),
    }
