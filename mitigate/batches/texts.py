"""The texts of a tokenized row, and changes of their tokens that keep everything else in step."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from itertools import accumulate, chain, groupby, pairwise
from operator import attrgetter
from typing import Any, NamedTuple

from mitigate.provenance import MARK, ProvenanceSource, Segment

Row = dict[str, Any]
# The sequences that a row adds to a batch, each by the fields that it is put together from.
Layout = tuple[tuple[str, ...], ...]

# By trainer: `Trainer` and SFT; DPO; KTO; reward modelling. The first whose fields are all there is taken.
_LAYOUTS: tuple[Layout, ...] = (
    (("input_ids",),),
    (("prompt_ids", "chosen_ids"), ("prompt_ids", "rejected_ids")),
    (("prompt_ids", "completion_ids"),),
    (("chosen_ids",), ("rejected_ids",)),
)

# Fields that have one value for every token of `input_ids`.
_TOKEN_FIELDS = (
    "labels",
    "attention_mask",
    "token_type_ids",
    "position_ids",
    "special_tokens_mask",
    "completion_mask",
    "assistant_masks",
)
_LOSS_MASKS = ("completion_mask", "assistant_masks")
_place = attrgetter("start", "stop")


class Text(NamedTuple):
    """
    A run of tokens of a row: the whole of it, or the prompt or an answer of a preference row.

    Args:
        field (`str`):
            The row's field that holds the ids.
        ids (`list[int]` of length `n`):
            Token ids, without hidden marks.
        segments (`list[Segment]`):
            The rows of the training mix in it; they cover it without gaps.
        opens (`bool`):
            Whether a sequence of the batch begins with this text.
        aligned (`dict[str, list[int]]`):
            The row's other fields that have one value a token.
    """

    field: str
    ids: list[int]
    segments: list[Segment]
    opens: bool
    aligned: dict[str, list[int]]


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


def layout_of(columns: Collection[str]) -> Layout | None:
    """
    Tell how the rows of a data set become sequences of a batch.

    Args:
        columns (`Collection[str]`):
            The columns.

    Returns:
        `tuple[tuple[str, ...], ...]` or `None`: For each sequence of a row the fields that it is put together from;
        `None` if the rows are not tokenized, or of an unknown kind.
    """
    return next((layout for layout in _LAYOUTS if all(field in columns for field in chain(*layout))), None)


def is_encoder_decoder(model: object) -> bool:
    """
    Tell whether a model's rows have two texts, one to read and one to write.

    Args:
        model:
            A transformers model, a PEFT model around one, or anything else.

    Returns:
        `bool`: Whether its configuration says so.
    """
    return bool(getattr(getattr(model, "config", None), "is_encoder_decoder", False))


def read_texts(row: Row, source: ProvenanceSource) -> dict[str, Text]:
    """
    Take the texts out of a row.

    Args:
        row (`dict`):
            A tokenized row; values may be lists, arrays or tensors.
        source (`ProvenanceSource`):
            What tells whether it is augmented.

    Returns:
        `dict[str, Text]`: The texts by their fields.

    Raises:
        ProvenanceError: If nothing tells.
        ValueError: If there are no token ids, or if an encoder-decoder's row is read as another.
    """
    layout = layout_of(row)
    if layout is None:
        raise ValueError(
            f"Mitigations need tokenized rows with `input_ids`, or with the ids of preference pairs; these have "
            f"{', '.join(sorted(row))}."
        )
    row = {key: value.tolist() if hasattr(value, "tolist") else value for key, value in row.items()}
    texts = {}
    for field, opens in _fields(layout).items():
        ids: list[int] = row[field]
        segments = source.segments(row, ids)
        aligned = _aligned(row, len(ids), source) if field == "input_ids" else {}
        if source.marked:
            ids = _unmark(ids)
            aligned = {key: _unmark(values) if key == "labels" else values for key, values in aligned.items()}
        texts[field] = Text(field, ids, segments, opens, aligned)
    if source.encoder_decoder and "labels" in row:
        texts["labels"] = _target(row["labels"], texts["input_ids"].segments[0].augmented)
    return texts


def _target(labels: list[int], augmented: bool) -> Text:
    """Give the text that an encoder-decoder writes; labels that do not count are no part of any row."""
    runs = [(counts, len(list(run))) for counts, run in groupby(label != -100 for label in labels)]
    bounds = pairwise(accumulate((length for _, length in runs), initial=0))
    segments = [
        Segment(start, stop, augmented and counts) for (start, stop), (counts, _) in zip(bounds, runs, strict=True)
    ]
    return Text("labels", labels, segments, False, {})


@cache
def _fields(layout: Layout) -> dict[str, bool]:
    """Return the fields of a layout, and whether a sequence begins with each."""
    openings = {fields[0] for fields in layout}
    return {field: field in openings for fields in layout for field in fields}


def _unmark(ids: list[int]) -> list[int]:
    return [token_id - MARK if token_id >= MARK else token_id for token_id in ids]


def _aligned(row: Mapping[str, Any], length: int, source: ProvenanceSource) -> dict[str, list[int]]:
    labels = row.get("labels")
    if source.encoder_decoder:
        row = {key: value for key, value in row.items() if key != "labels"}
    elif isinstance(labels, list) and len(labels) != length and any(isinstance(x, int) and x > 1 for x in labels):
        raise ValueError(
            f"A row has {length} `input_ids` and {len(labels)} `labels`, as those of encoder-decoders have: use the "
            "callback, or a collator that knows the model, `DataCollatorForSeq2Seq(tokenizer, model=model)`."
        )
    # The labels of a classifier are no list, or one of another length or type.
    return {
        key: value
        for key in _TOKEN_FIELDS
        if isinstance(value := row.get(key), list)
        and len(value) == length
        and (not value or isinstance(value[0], int))
    }


def write_texts(row: Row, texts: Iterable[Text], column: str) -> Row:
    """
    Put texts back into their row.

    Args:
        row (`dict`):
            The row. It is not changed.
        texts (`Iterable[Text]`):
            Its texts.
        column (`str`):
            The provenance column, which the new row does not have.

    Returns:
        `dict`: A new row.
    """
    new = {key: value for key, value in row.items() if key != column}
    for text in texts:
        new[text.field] = text.ids
        new.update(text.aligned)
        if "seq_lengths" in new:
            new["seq_lengths"] = [segment.stop - segment.start for segment in text.segments]
    return new


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
