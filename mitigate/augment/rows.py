"""Rows made of answers: those that are kept, and those that are set apart with the reason."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from mitigate.augment.checks import Rejection, TextLimits, check_prompt, check_text
from mitigate.augment.generators import Answer, Decoding, Request
from mitigate.augment.plan import Item
from mitigate.provenance import AUGMENTED_COLUMN

Row = dict[str, Any]


class Rows(NamedTuple):
    """
    The rows of an augmentation, in the order of its plan.

    Attributes:
        accepted (`list[dict]`):
            Rows that passed all checks.
        rejected (`list[dict]`):
            The others, with `reason` and `detail`.
        missing (`int`):
            Items whose request has no answer.
    """

    accepted: list[Row]
    rejected: list[Row]
    missing: int


class Asked(NamedTuple):
    """
    Items and their requests.

    Attributes:
        items (`list[tuple[Item, Request]]`):
            What is asked.
        refused (`list[tuple[Item, Request, Rejection]]`):
            Items whose prompt breaks the rule of its bias type, with the request that is not made.
    """

    items: list[tuple[Item, Request]]
    refused: list[tuple[Item, Request, Rejection]]


def ask(items: Iterable[Item], model: str, decoding: Decoding) -> Asked:
    """
    Check the prompts, and turn the items into requests.

    Args:
        items (`Iterable[Item]`):
            The items.
        model (`str`):
            Name of the model.
        decoding (`Decoding`):
            The decoding parameters.

    Returns:
        `Asked`: Requests, and what is not asked.
    """
    asked = Asked([], [])
    for item in items:
        request = Request(item.prompt, model, decoding, item.sample)
        rejection = check_prompt(item)
        if rejection:
            asked.refused.append((item, request, rejection))
        else:
            asked.items.append((item, request))
    return asked


def make_rows(asked: Asked, answers: Mapping[str, Answer], limits: TextLimits) -> Rows:
    """
    Check the answers, and make rows of them.

    Besides the checks of each text, a text must not come twice for the same group; the same text for two groups is no
    duplicate, since a model without bias may well write it. And an intersectional row is kept only if the rows of all
    groups of its set are, so that the counts of its cells are equal.

    Args:
        asked (`Asked`):
            What was asked.
        answers (`Mapping[str, Answer]`):
            Answers by the key of the request.
        limits (`TextLimits`):
            How long a text may be.

    Returns:
        `Rows`: The rows.
    """
    judged: list[tuple[Item, Row, Rejection | None]] = []
    seen: set[tuple[str, str, str]] = set()
    missing = 0
    for item, request in asked.items:
        answer = answers.get(request.key)
        if answer is None:
            missing += 1
            continue
        rejection = check_text(item, answer, limits)
        place = (item.group.attribute, item.group.name, " ".join(answer.text.casefold().split()))
        if rejection is None and place in seen:
            rejection = Rejection("duplicate", "an earlier row for this group has the same text")
        if rejection is None:
            seen.add(place)
        judged.append((item, _row(item, request, answer), rejection))
    judged = _balanced(judged, _set_sizes(asked))
    accepted = [row for _, row, rejection in judged if rejection is None]
    rejected = [{**row, **rejection._asdict()} for _, row, rejection in judged if rejection]
    refused = [
        {**_row(item, request, Answer("", "")), **rejection._asdict()} for item, request, rejection in asked.refused
    ]
    return Rows(accepted, rejected + refused, missing)


def _balanced(
    judged: Sequence[tuple[Item, Row, Rejection | None]], sizes: Mapping[Any, int]
) -> list[tuple[Item, Row, Rejection | None]]:
    kept = Counter(item.set_key for item, _, rejection in judged if rejection is None)
    lost = Rejection("incomplete set", "a row of another group in its set was rejected or is missing")
    return [
        (item, row, rejection or (lost if kept[item.set_key] < sizes[item.set_key] else None))
        if item.bias_type.scope == "intersectional"
        else (item, row, rejection)
        for item, row, rejection in judged
    ]


def _set_sizes(asked: Asked) -> Counter[Any]:
    items = [item for item, _ in asked.items] + [item for item, _, _ in asked.refused]
    return Counter(item.set_key for item in items)


def _row(item: Item, request: Request, answer: Answer) -> Row:
    place = [*item.set_key, item.group.name, item.arm]
    return {
        "id": _digest(json.dumps([request.key, *place])),
        "seed_id": item.seed.id,
        "bias_type": item.bias_type.name,
        **asdict(item.bias_type),
        "attribute": item.group.attribute,
        "group": item.group.name,
        **item.group.stated(item.bias_type.signal),
        "proxy": " ".join(item.proxies.values()),
        "arm": item.arm,
        "text": answer.text.strip(),
        "label": item.seed.label,
        AUGMENTED_COLUMN: True,
        "prompt_hash": _digest(item.prompt),
        "sample": item.sample,
        "generator": answer.generator,
        "model": request.model,
        "served_model": answer.served_model,
        "decoding": asdict(request.decoding) | {"seed": request.seed},
        "request": request.key,
        "finish_reason": answer.finish_reason,
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
