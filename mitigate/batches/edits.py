"""Changes of the tokens of a text that keep everything else of it in step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from operator import attrgetter
from typing import NamedTuple

from mitigate.batches.texts import Text
from mitigate.provenance import Segment

_LOSS_MASKS = ("completion_mask", "assistant_masks")
_place = attrgetter("start", "stop")


class Edit(NamedTuple):
    """
    A change of a text.

    Args:
        start (`int`):
            Position of the first token that is replaced.
        stop (`int`):
            Position after the last one; equal to `start` to insert.
        ids (`tuple[int, ...]`):
            What takes their place; empty to delete.
        in_loss (`bool`, *optional*, defaults to `False`):
            Whether the new tokens count in the loss if those in their place did.
        attended (`bool`, *optional*, defaults to `True`):
            Whether other tokens attend to the new ones.
    """

    start: int
    stop: int
    ids: tuple[int, ...]
    in_loss: bool = False
    attended: bool = True


def merge_edits(edits: Iterable[Sequence[Edit]]) -> list[Edit]:
    """
    Unite the edits of one text.

    Args:
        edits (`Iterable[Sequence[Edit]]`):
            Edits of several makers. Of two that replace the same token, that of the earlier maker is kept.

    Returns:
        `list[Edit]`: In the order of their places.
    """
    several = [made for made in edits if made]
    merged = list(several[0]) if len(several) == 1 else sorted(chain.from_iterable(several), key=_place)
    if all(edit.start >= before.stop for before, edit in pairwise(merged)):
        return merged
    taken: set[int] = set()
    kept: list[Edit] = []
    for edit in chain.from_iterable(several):
        places = range(edit.start, edit.stop)
        if taken.isdisjoint(places):
            taken.update(places)
            kept.append(edit)
    return sorted(kept, key=_place)


def apply_edits(text: Text, edits: Sequence[Edit]) -> tuple[Text, list[Edit]]:
    """
    Change a text.

    Args:
        text (`Text`):
            The text. It is not changed.
        edits (`Sequence[Edit]`):
            Edits in the order of their places, as [`merge_edits`] gives them.

    Returns:
        `tuple[Text, list[Edit]]`: The new text, and where in it the edits ended up: edits that would change nothing
        there.
    """
    if not edits:
        return text, []
    fields = {text.field: text.ids, **text.aligned}
    if all(len(ids) == stop - start and not in_loss for start, stop, ids, in_loss, _ in edits):
        # Placeholders, and words that stay: by far the commonest, and faster.
        new, moved, segments = _overwritten(text.field, fields, edits), list(edits), text.segments
    else:
        new, moved, segments = _rewritten(text, fields, edits)
    ids = new.pop(text.field)
    if "position_ids" in new:
        new["position_ids"] = [place for segment in segments for place in range(segment.stop - segment.start)]
    return Text(text.field, ids, segments, text.opens, new), moved


def _overwritten(field: str, fields: dict[str, list[int]], edits: Sequence[Edit]) -> dict[str, list[int]]:
    new = {}
    for key, values in fields.items():
        copy = new[key] = values.copy()
        if key == "labels":  # those of an encoder-decoder too, whose text they are
            for start, stop, *_ in edits:
                copy[start:stop] = [-100] * (stop - start)
        elif key == field:
            for start, stop, ids, _, _ in edits:
                copy[start:stop] = ids
        else:
            for edit in edits:
                copy[edit.start : edit.stop] = _filled(key, values, edit)
    return new


def _rewritten(
    text: Text, fields: dict[str, list[int]], edits: Sequence[Edit]
) -> tuple[dict[str, list[int]], list[Edit], list[Segment]]:
    new: dict[str, list[int]] = {key: [] for key in fields}
    moved: list[Edit] = []
    cursor, stops = 0, [segment.stop for segment in text.segments]
    for edit in edits:
        start, stop = max(edit.start, cursor), max(edit.stop, cursor)
        if edit.in_loss:
            _refuse_other_labels(text, start, stop)
        for key, values in fields.items():
            new[key] += values[cursor:start]
        place = len(new[text.field])
        moved.append(edit._replace(start=place, stop=place + len(edit.ids)))
        for key, values in fields.items():
            new[key] += (
                _written(key, edit)
                if key == text.field
                else _filled(key, values, edit._replace(start=start, stop=stop))
            )
        growth = len(edit.ids) - (stop - start)
        # What is put in at a boundary belongs to the segment that begins there, and at the end to the last one.
        stops = [
            end + growth if old.stop > start or old is text.segments[-1] else end
            for end, old in zip(stops, text.segments, strict=True)
        ]
        cursor = stop
    for key, values in fields.items():
        new[key] += values[cursor:]
    segments = [
        Segment(start, stop, segment.augmented)
        for start, stop, segment in zip([0, *stops], stops, text.segments, strict=False)
        if stop > start
    ]
    return new, moved, segments


def _refuse_other_labels(text: Text, start: int, stop: int) -> None:
    labels = text.aligned.get("labels", text.ids)[start:stop]
    strange = [label for label, own in zip(labels, text.ids[start:stop], strict=True) if label not in (-100, own)]
    if strange:
        raise ValueError(
            f"`labels` has {strange[0]} at a token that is swapped for another, which is no label of it: "
            "`mode='swap'` needs labels that are the tokens themselves. For classes of tokens, use "
            "`mode='placeholder'`."
        )


def _written(field: str, edit: Edit) -> Sequence[int]:
    # A decoder is given its own labels, moved: what does not count among them, it does not see either.
    return [-100] * len(edit.ids) if field == "labels" and not edit.in_loss else edit.ids


def _filled(key: str, values: list[int], edit: Edit) -> list[int]:
    """Give the values that a token field has at the new tokens."""
    start, stop, ids, in_loss, _ = edit
    count = len(ids)
    if key == "attention_mask":
        # Whoever collates finds the texts by it; what nobody attends to is hidden in the batch.
        return [1] * count
    if key == "labels":
        counts = in_loss and all(label != -100 for label in values[start:stop])
        return list(ids) if counts else [-100] * count
    if key in _LOSS_MASKS and not in_loss:
        return [0] * count
    return [values[min(start, len(values) - 1)]] * count
