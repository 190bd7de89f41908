"""Token-based mitigation: a special token tells the model which text an LLM wrote."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any, Literal, cast, get_args

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from mitigate.collation import Row
from mitigate.provenance import AUGMENTED_COLUMN, TOKEN_FIELDS, ProvenanceError, Segment, as_flag
from mitigate.vocabulary import ensure_special_token

Position = Literal["start", "answer"]

# Where a row's text begins, for every format of TRL: the first of these sets that the data set has is tagged.
_TEXT_COLUMNS = (("prompt",), ("messages",), ("text",), ("chosen", "rejected"))


class BiasTagTokenizer:
    """
    A tokenizer that knows a tag for augmented text, and can put it on the rows of a data set.

    The tag tells the model in training what an LLM wrote, so that it need not take it for what people write; at
    inference the tag is left out. The idea is that of tagged back-translation (Caswell et al. 2019) and of conditional
    training (Korbak et al. 2023).

    Made by [`BiasTagTokenizer.wrap`], never by its constructor: the result is an instance of the wrapped tokenizer's
    own class as well, so trainers accept it, and what it saves loads with plain transformers.

    Attributes:
        augmented_tag (`str`):
            The token that marks augmented text.
        real_tag (`str` or `None`):
            The token that marks real text; `None` unless the tags are paired.

    Example:
    ```python
    >>> from mitigate import BiasTagTokenizer

    >>> tokenizer = BiasTagTokenizer.wrap(tokenizer)
    >>> model.resize_token_embeddings(len(tokenizer))
    >>> dataset = tokenizer.tag(dataset)  # needs a boolean column `augmented`
    ```

    Limits: in the testbed a tag before the text changes nothing; right before the answer, paired and with the real tag
    at inference, it takes off about a third of the inherited gap. `docs/tags.md` has the figures.
    """

    augmented_tag: str
    real_tag: str | None

    @classmethod
    def wrap(
        cls,
        tokenizer: PreTrainedTokenizerBase,
        *,
        paired: bool = False,
        augmented_tag: str | None = None,
        real_tag: str | None = None,
    ) -> Any:
        """
        Make a copy of a tokenizer that has a tag.

        Args:
            tokenizer (`PreTrainedTokenizerBase`):
                The tokenizer of the model. It is not changed.
            paired (`bool`, *optional*, defaults to `False`):
                Whether real text has a tag of its own. Then use the real tag at inference.
            augmented_tag (`str`, *optional*):
                The token to use. By default a token that the vocabulary has in reserve, else `<|augmented|>` is added.
            real_tag (`str`, *optional*):
                Likewise for real text, `<|real|>`. Only with `paired=True`.

        Returns:
            `BiasTagTokenizer`: A tokenizer of the same class as `tokenizer`. If it has more tokens than the model has
            embeddings, call `model.resize_token_embeddings(len(tokenizer))`; [`MitigationCallback`] does it for you.

        Raises:
            ValueError: If `real_tag` is given without `paired=True`, or equals `augmented_tag`.
        """
        if real_tag is not None and not paired:
            raise ValueError(f"`real_tag` ('{real_tag}') needs `paired=True`; without it real text has no tag.")
        wrapped = copy.deepcopy(tokenizer)
        augmented = ensure_special_token(wrapped, augmented_tag, "<|augmented|>")
        real = ensure_special_token(wrapped, real_tag, "<|real|>", taken=[augmented]) if paired else None
        if augmented == real:
            raise ValueError(f"`augmented_tag` and `real_tag` must differ, both are '{augmented}'.")
        return _with_tags(wrapped, augmented, real)

    @property
    def augmented_tag_id(self) -> int:
        """`int`: Id of the tag of augmented text."""
        return tag_id(cast(PreTrainedTokenizerBase, self), self.augmented_tag)

    @property
    def real_tag_id(self) -> int | None:
        """`int` or `None`: Id of the tag of real text."""
        return None if self.real_tag is None else tag_id(cast(PreTrainedTokenizerBase, self), self.real_tag)

    def tag(
        self,
        dataset: Dataset,
        *,
        position: Position = "start",
        column: str = AUGMENTED_COLUMN,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> Dataset:
        """
        Put the tag into every augmented row's text.

        The tag is then part of the text, so it outlives whatever the trainer does to the columns, packing included.
        [`MitigationCallback`] with `token=True` does the same to an unchanged data set, but cannot do so with packing.

        Args:
            dataset (`Dataset`):
                Rows in any of TRL's formats: `prompt` (and `completion`), `messages`, `text`, or `chosen` and
                `rejected`.
            position (`"start"` or `"answer"`, *optional*, defaults to `"start"`):
                Before the text (in conversations, at the start of the first user turn), or right before the answer:
                after the `prompt` (in conversations, at the end of its last turn).
            column (`str`, *optional*, defaults to `"augmented"`):
                Boolean column that tells augmented rows.
            dropout (`float`, *optional*, defaults to 0.0):
                Share of rows, in [0, 1), that stay without a tag, so that the model also learns to do without. Where
                the column is lost later, such rows pass for real.
            seed (`int`, *optional*, defaults to 0):
                Seed of the dropout.

        Returns:
            `Dataset`: The data set with the text columns changed.

        Raises:
            ProvenanceError: If the column is missing.
            ValueError: If `dropout` is outside [0, 1) or `position` unknown, or if there is no text to tag, or no
                prompt to end with the tag.
        """
        check_tagging(position, dropout)
        columns = dataset.column_names or []
        if column not in columns:
            raise ProvenanceError(
                f"`{column}` is not a column of the data set (columns: {', '.join(columns)}). Add a boolean column "
                f"`{column}` that tells augmented rows, or name yours with `column=…`."
            )
        if position == "answer" and "prompt" not in columns:
            raise ValueError(
                f"`position='answer'` needs a column `prompt`, which the answer follows; there is none among "
                f"{', '.join(columns)}."
            )
        targets = next((names for names in _TEXT_COLUMNS if set(names) <= set(columns)), None)
        if targets is None:
            raise ValueError(
                f"No text to tag: the data set has the columns {', '.join(columns)}, and needs `prompt`, `messages`, "
                "`text`, or `chosen` and `rejected`."
            )

        def put(row: Row, index: int) -> Row:
            tag = self.augmented_tag if as_flag(row[column], column) else self.real_tag
            if tag is None or random.Random(f"{seed}-{index}").random() < dropout:
                return {}
            return {name: _write(tag, row[name], position) for name in targets}

        shown = {"desc": "Tagging augmented rows"} if isinstance(dataset, Dataset) else {}
        return dataset.map(put, with_indices=True, **shown)


class InsertTag:
    """
    Row step that puts the tag among the tokens of augmented rows.

    Rows that carry a tag already are left alone.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer of the rows.
        augmented_tag (`str`):
            Token that marks augmented text.
        real_tag (`str`, *optional*):
            Token that marks real text.
        position (`"start"` or `"answer"`, *optional*, defaults to `"start"`):
            Before all other tokens (but after that of the beginning of text), or right before the first token that is
            in the loss.
        dropout (`float`, *optional*, defaults to 0.0):
            Probability in [0, 1) that a segment stays without a tag, drawn anew each epoch.
        seed (`int`, *optional*, defaults to 0):
            Seed of the dropout. The draw depends on the seed, the epoch and the row alone, so any number of data
            loader workers gives the same tags.

    Raises:
        ValueError: If a tag is not in the vocabulary, `position` is unknown or `dropout` outside [0, 1). When a row
            comes whose first token is in the loss, if the tag should precede the answer.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        augmented_tag: str,
        real_tag: str | None = None,
        *,
        position: Position = "start",
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        check_tagging(position, dropout)
        self.position = position
        self._augmented = tag_id(tokenizer, augmented_tag)
        self._real = None if real_tag is None else tag_id(tokenizer, real_tag)
        self._opening = {tokenizer.bos_token_id, tokenizer.cls_token_id} - {None}
        self.dropout = dropout
        self.seed = seed
        # In shared memory, for persistent workers of a data loader keep their copy of the step.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        self.ignored_ids = frozenset({self._augmented} if self._real is None else {self._augmented, self._real})

    @property
    def epoch(self) -> int:
        """`int`: The current epoch; set it when one begins."""
        return int(self._epoch)

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch[0] = epoch

    def __call__(self, row: Row, segments: list[Segment]) -> tuple[Row, list[Segment]]:
        """Insert the tag; see [`RowStep`]."""
        augmented = segments[0].augmented
        tag = self._augmented if augmented else self._real
        ids = list(row["input_ids"])
        # A packed row lost its column, so it was told from its tags and has them already.
        if tag is None or len(segments) > 1 or not self.ignored_ids.isdisjoint(ids) or self._dropped(ids):
            return row, segments
        place = self._start_of_answer(row) if self.position == "answer" else int(ids[0] in self._opening)
        tagged = {key: _insert(value, place, tag, len(ids), key) for key, value in row.items()}
        return tagged, [Segment(0, len(ids) + 1, augmented)]

    def _start_of_answer(self, row: Row) -> int:
        labels = row.get("labels") or []
        place = next((i for i, label in enumerate(labels) if label != -100), 0)
        if place == 0:
            raise ValueError(
                "The tag cannot precede the answer, for the rows do not tell where it starts: `position='answer'` "
                "needs rows of prompt and completion, with the prompt out of the loss. Use `position='start'`."
            )
        return place

    def _dropped(self, ids: list[int]) -> bool:
        return self.dropout > 0 and random.Random(f"{self.seed}-{self.epoch}-{ids}").random() < self.dropout


def tag_id(tokenizer: PreTrainedTokenizerBase, tag: str) -> int:
    """
    Look up the id of a tag.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer.
        tag (`str`):
            The tag.

    Returns:
        `int`: Its id.

    Raises:
        ValueError: If the tag is not a token of the vocabulary.
    """
    vocabulary = tokenizer.get_vocab()
    if tag not in vocabulary:
        raise ValueError(
            f"The tag '{tag}' is not a token of the tokenizer, so it would be split into pieces that mark nothing. "
            f"Use `BiasTagTokenizer.wrap(tokenizer, augmented_tag='{tag}')`, which adds it."
        )
    return vocabulary[tag]


def _insert(value: Any, position: int, tag: int, length: int, key: str) -> Any:
    if key not in TOKEN_FIELDS or len(value) != length or not isinstance(value[0], int):
        return value  # such as the labels of a classifier
    # Masks are extended by their neighbour's value; a tag is never a label.
    new = {"input_ids": tag, "labels": -100, "completion_mask": 0, "assistant_masks": 0}
    neighbour = value[min(position, length - 1)]
    return [*value[:position], new.get(key, neighbour), *value[position:]]


def _write(tag: str, text: str | list[dict[str, Any]], position: Position) -> str | list[dict[str, Any]]:
    if isinstance(text, str):
        return tag + text if position == "start" else text + tag
    turns = copy.deepcopy(text)
    first = next((turn for turn in turns if turn["role"] == "user"), turns[0])
    turn = first if position == "start" else turns[-1]
    part = tag if isinstance(turn["content"], str) else [{"type": "text", "text": tag}]
    turn["content"] = part + turn["content"] if position == "start" else turn["content"] + part
    return turns


def check_tagging(position: str, dropout: float) -> None:
    """
    Check how tags are to be put.

    Args:
        position (`str`):
            Where the tag goes.
        dropout (`float`):
            Share of rows without.

    Raises:
        ValueError: If `position` is neither `"start"` nor `"answer"`, or `dropout` outside [0, 1).
    """
    if position not in get_args(Position):
        raise ValueError(f"The position of a tag must be 'start' or 'answer', got '{position}'.")
    if not 0 <= dropout < 1:
        raise ValueError(f"The dropout of tags must lie in [0, 1), got {dropout}.")


def _with_tags(tokenizer: PreTrainedTokenizerBase, augmented_tag: str, real_tag: str | None) -> Any:
    # The new class bears the old one's name because `save_pretrained` writes it down for plain transformers to load.
    base = _base_class(tokenizer)
    tokenizer.__class__ = type(base.__name__, (BiasTagTokenizer, base), {"__reduce__": _reduce})
    tagged = cast(BiasTagTokenizer, tokenizer)
    tagged.augmented_tag = augmented_tag
    tagged.real_tag = real_tag
    return tagged


def _reduce(tokenizer: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    # The class made above cannot be imported, so a copy or a pickle (`datasets.map` makes many) starts from the base.
    return _rebuild, (_base_class(tokenizer), dict(tokenizer.__dict__))


def _base_class(tokenizer: Any) -> type[PreTrainedTokenizerBase]:
    kind: type[PreTrainedTokenizerBase] = type(tokenizer)
    return kind.__mro__[2] if issubclass(kind, BiasTagTokenizer) else kind


def _rebuild(base: type[PreTrainedTokenizerBase], state: dict[str, Any]) -> Any:
    tokenizer = base.__new__(base)
    tokenizer.__dict__.update(state)
    return _with_tags(tokenizer, state["augmented_tag"], state["real_tag"])
