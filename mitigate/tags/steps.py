"""Tags among the tokens of rows that a collator is given."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, get_args

from transformers import PreTrainedTokenizerBase

from mitigate.batches import Edit, Text
from mitigate.provenance import Segment
from mitigate.seeding import text_generator
from mitigate.vocabulary import tag_id

TokenPosition = Literal["start", "answer"]

NOTICE = "The following text was written by a language model.\n"


class WriteTags:
    """
    Step that puts the tag, or a notice, among the tokens of augmented rows.

    Where a row carries a tag already, that one is kept in its place, or the notice takes it.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer of the rows.
        augmented_tags (`Sequence[str]`):
            Tokens that mark augmented text. The first is put where there is none.
        real_tag (`str`, *optional*):
            Token that marks real text.
        notice (`str`, *optional*):
            A sentence to put before augmented text instead of the tag.
        position (`"start"` or `"answer"`, *optional*, defaults to `"start"`):
            Before all other tokens (but after that of the beginning of text), or right before the first token that is
            in the loss; in preference rows, at the start or the end of the prompt.
        dropout (`float`, *optional*, defaults to 0.0):
            Probability in [0, 1) that a segment stays without a tag, drawn anew each epoch.
        seed (`int`, *optional*, defaults to 0):
            Seed of the dropout. The draw depends on the seed, the epoch and the row alone, so any number of data
            loader workers gives the same tags.

    Raises:
        ValueError: If a tag is not in the vocabulary, `position` is unknown or `dropout` outside [0, 1). When a row
            comes whose first token is in the loss, if the tag should precede the answer.
    """

    name = "tags"

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        augmented_tags: Sequence[str],
        real_tag: str | None = None,
        *,
        notice: str | None = None,
        position: TokenPosition = "start",
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        check_tagging(position, dropout)
        self.position = position
        self.dropout = dropout
        self.seed = seed
        tags = [tag_id(tokenizer, tag) for tag in augmented_tags]
        real = [] if real_tag is None else [tag_id(tokenizer, real_tag)]
        self._known = {*tags, *real}
        self._notice = None if notice is None else tuple(_ids(tokenizer, notice))
        self._written = {True: self._notice or tuple(tags[:1]), False: tuple(real)}
        self._opening = {tokenizer.bos_token_id, tokenizer.cls_token_id} - {None}

    def edits(self, texts: Sequence[Text], epoch: int) -> list[list[Edit]]:
        """Write the tags; see [`TextStep`]."""
        return [
            [edit for segment in text.segments for edit in self._tag(text, segment, epoch)] if text.opens else []
            for text in texts
        ]

    def _tag(self, text: Text, segment: Segment, epoch: int) -> list[Edit]:
        ids = text.ids[segment.start : segment.stop]
        found = [segment.start + i for i, token in enumerate(ids) if token in self._known]
        written = self._written[segment.augmented]
        if self._dropped(ids, epoch):
            return [Edit(place, place + 1, ()) for place in found]
        if found:
            swap = segment.augmented and self._notice is not None
            return [Edit(place, place + 1, written if swap else (text.ids[place],)) for place in found]
        if not written:
            return []
        place = self._start_of_answer(text, segment) if self.position == "answer" else self._start(ids, segment)
        return [Edit(place, place, written)]

    def _start(self, ids: list[int], segment: Segment) -> int:
        return segment.start + (ids[:1] != [] and ids[0] in self._opening)

    def _start_of_answer(self, text: Text, segment: Segment) -> int:
        if text.field == "prompt_ids":
            return segment.stop
        labels = text.aligned.get("labels", [])
        place = next((i for i in range(segment.start, len(labels)) if labels[i] != -100), segment.start)
        if place == segment.start or place >= segment.stop:
            raise ValueError(
                "The tag cannot precede the answer, for the rows do not tell where it starts: `position='answer'` "
                "needs rows of prompt and completion, with the prompt out of the loss. Use `position='start'`."
            )
        return place

    def _dropped(self, ids: list[int], epoch: int) -> bool:
        return self.dropout > 0 and text_generator(ids, self.seed, epoch).random() < self.dropout


class RemoveTags:
    """
    Step that takes tags out again, so that the model never sees them.

    Args:
        tag_ids (`Collection[int]`):
            Ids of the tags.
    """

    name = "removed_tags"

    def __init__(self, tag_ids: Collection[int]) -> None:
        self._tag_ids = frozenset(tag_ids)

    def edits(self, texts: Sequence[Text], epoch: int) -> list[list[Edit]]:
        """Remove the tags; see [`TextStep`]."""
        return [[Edit(place, place + 1, ()) for place in _places(text, self._tag_ids)] for text in texts]


class SilenceTags:
    """
    Step that takes tags out of the loss and leaves them in the text.

    Args:
        tag_ids (`Collection[int]`):
            Ids of the tags.
    """

    name = "silenced_tags"

    def __init__(self, tag_ids: Collection[int]) -> None:
        self._tag_ids = frozenset(tag_ids)

    def edits(self, texts: Sequence[Text], epoch: int) -> list[list[Edit]]:
        """Silence the tags; see [`TextStep`]."""
        return [
            [Edit(place, place + 1, (text.ids[place],)) for place in _places(text, self._tag_ids)] for text in texts
        ]


def _places(text: Text, tag_ids: frozenset[int]) -> list[int]:
    if not tag_ids or tag_ids.isdisjoint(text.ids):  # the common case, an order of magnitude faster
        return []
    return [place for place, token in enumerate(text.ids) if token in tag_ids]


def check_tagging(position: str, dropout: float) -> None:
    """
    Check how tags are to be put among tokens.

    Args:
        position (`str`):
            Where the tag goes.
        dropout (`float`):
            Share of rows without.

    Raises:
        ValueError: If `position` is neither `"start"` nor `"answer"`, or `dropout` outside [0, 1).
    """
    if position not in get_args(TokenPosition):
        raise ValueError(
            f"The position of a tag among tokens must be 'start' or 'answer', got '{position}'. To put it elsewhere "
            "in conversations, tag the data set beforehand: `BiasTagTokenizer.wrap(tokenizer).tag(dataset, "
            "position=…)`."
        )
    if not 0 <= dropout < 1:
        raise ValueError(f"The dropout of tags must lie in [0, 1), got {dropout}.")


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids
