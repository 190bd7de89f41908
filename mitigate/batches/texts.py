"""The texts of a tokenized row."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from itertools import accumulate, chain, groupby, pairwise
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
