"""Token-based mitigation: a special token tells the model which text an LLM wrote."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any, cast

from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mitigate.batches import Row
from mitigate.provenance import AUGMENTED_COLUMN, MARK, ProvenanceError, as_flag
from mitigate.tags.rows import TEMPLATE_VARIABLE, Position, tagged_columns, tagging_template, write_tag
from mitigate.vocabulary import ensure_special_token, tag_id


class BiasTagTokenizer:
    """
    A tokenizer that knows a tag for augmented text, and can put it on the rows of a data set.

    The tag tells the model in training what an LLM wrote, so that it need not take it for what people write; at
    inference the tag is left out. The idea is that of tagged back-translation (Caswell et al. 2019) and of conditional
    training (Korbak et al. 2023).

    Made by [`BiasTagTokenizer.wrap`], never by its constructor: the result is an instance of the wrapped tokenizer's
    own class as well, so trainers accept it, and what it saves loads with plain transformers.

    Attributes:
        augmented_tags (`tuple[str, ...]`):
            The tokens that mark augmented text, one for each grade.
        real_tag (`str` or `None`):
            The token that marks real text; `None` unless the tags are paired.
        hidden (`bool`):
            Whether the tag only carries the provenance to the collator, and never reaches the model.

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

    augmented_tags: tuple[str, ...]
    real_tag: str | None
    hidden: bool

    @classmethod
    def wrap(
        cls,
        tokenizer: PreTrainedTokenizerBase,
        *,
        paired: bool = False,
        grades: int = 1,
        hidden: bool = False,
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
            grades (`int`, *optional*, defaults to 1):
                Number of tags for augmented text, at least 1. With more than one, [`BiasTagTokenizer.tag`] chooses by
                the score of the row.
            hidden (`bool`, *optional*, defaults to `False`):
                Whether the tag only carries the provenance through the trainer's preparation of the data, packing of
                any kind included: every token id of a tagged text is then marked (2²⁴ is added to it), and a
                callback of this package takes marks and tag out again, before the model sees them. Text that the
                tokenizer is given without the tag is tokenized as ever.
            augmented_tag (`str`, *optional*):
                The token to use. By default a token that the vocabulary has in reserve, else `<|augmented|>` is added
                (`<|augmented-1|>` and so on, if there are several).
            real_tag (`str`, *optional*):
                Likewise for real text, `<|real|>`. Only with `paired=True`.

        Returns:
            `BiasTagTokenizer`: A tokenizer of the same class as `tokenizer`. If it has more tokens than the model has
            embeddings, call `model.resize_token_embeddings(len(tokenizer))`; [`MitigationCallback`] does it for you.

        Raises:
            ValueError: If `real_tag` is given without `paired=True`, or equals `augmented_tag`; if `grades` is below
                1, or above 1 and a tag is named.
        """
        if real_tag is not None and not paired:
            raise ValueError(f"`real_tag` ('{real_tag}') needs `paired=True`; without it real text has no tag.")
        if grades < 1 or (grades > 1 and augmented_tag is not None):
            raise ValueError(f"`grades` must be at least 1, and 1 if `augmented_tag` is named; got {grades}.")
        wrapped = copy.deepcopy(tokenizer)
        augmented: list[str] = []
        for grade in range(1, grades + 1):
            default = "<|augmented|>" if grades == 1 else f"<|augmented-{grade}|>"
            augmented.append(ensure_special_token(wrapped, augmented_tag, default, taken=augmented))
        real = ensure_special_token(wrapped, real_tag, "<|real|>", taken=augmented) if paired else None
        if real in augmented:
            raise ValueError(f"`augmented_tag` and `real_tag` must differ, both are '{real}'.")
        base = _base_class(wrapped)
        wrapped.__dict__.update(augmented_tags=tuple(augmented), real_tag=real, hidden=hidden)
        return _tagging(wrapped, base)

    @property
    def augmented_tag(self) -> str:
        """`str`: The token that marks augmented text; of several, that of the lowest grade."""
        return self.augmented_tags[0]

    @property
    def augmented_tag_id(self) -> int:
        """`int`: Id of the tag of augmented text."""
        return tag_id(cast(PreTrainedTokenizerBase, self), self.augmented_tag)

    @property
    def augmented_tag_ids(self) -> list[int]:
        """`list[int]`: Ids of the tags of augmented text, by grade."""
        return [tag_id(cast(PreTrainedTokenizerBase, self), tag) for tag in self.augmented_tags]

    @property
    def real_tag_id(self) -> int | None:
        """`int` or `None`: Id of the tag of real text."""
        return None if self.real_tag is None else tag_id(cast(PreTrainedTokenizerBase, self), self.real_tag)

    @property
    def tag_ids(self) -> list[int]:
        """`list[int]`: Ids of all tags, as `LoraConfig(trainable_token_indices=…)` takes them."""
        return [*self.augmented_tag_ids, *([] if self.real_tag_id is None else [self.real_tag_id])]

    def tag(
        self,
        dataset: Dataset,
        *,
        position: Position = "start",
        column: str = AUGMENTED_COLUMN,
        score: str | None = None,
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
            position (`str`, *optional*, defaults to `"start"`):
                - `"start"`: before the text; in conversations, at the start of the first user turn.
                - `"system"`: in conversations, at the start of the system turn, which is made if there is none.
                - `"template"`: in conversations, before everything else, by way of the chat template: the tokenizer's
                  is changed to put what the new column `chat_template_kwargs` holds. A trainer that swaps the template
                  for its own (TRL does with `assistant_only_loss`, where the template has no generation markers)
                  loses the tag; the callbacks then refuse to train.
                - `"answer"`: right before the answer: after the `prompt`, in conversations at the end of its last
                  turn.
            column (`str`, *optional*, defaults to `"augmented"`):
                Boolean column that tells augmented rows.
            score (`str`, *optional*):
                Column of bias scores in [0, 1]. With `grades=k`, a row of score `s` gets tag `⌊s · k⌋ + 1` (the last
                one for `s = 1`).
            dropout (`float`, *optional*, defaults to 0.0):
                Share of rows, in [0, 1), that stay without a tag, so that the model also learns to do without. Where
                the column is lost later, such rows pass for real.
            seed (`int`, *optional*, defaults to 0):
                Seed of the dropout.

        Returns:
            `Dataset`: The data set with the text columns changed.

        Raises:
            ProvenanceError: If the column is missing.
            ValueError: If `dropout` is outside [0, 1) or `position` unknown, if there is no text to tag, or no prompt
                to end with the tag; if there are several grades and no score, or a score outside [0, 1].
        """
        columns = dataset.column_names or []
        self._check_columns(columns, column, score)
        targets = tagged_columns(columns, position)
        if not 0 <= dropout < 1:
            raise ValueError(f"The dropout of tags must lie in [0, 1), got {dropout}.")
        if position == "template":
            tokenizer = cast(PreTrainedTokenizerBase, self)
            tokenizer.chat_template = tagging_template(cast("str | None", tokenizer.chat_template))

        def put(row: Row, index: int) -> Row:
            tag = self._graded(row, score) if as_flag(row[column], column) else self.real_tag
            if random.Random(f"{seed}-{index}").random() < dropout:
                tag = None
            if position == "template":
                return {"chat_template_kwargs": {**(row.get("chat_template_kwargs") or {}), TEMPLATE_VARIABLE: tag}}
            return {} if tag is None else {name: write_tag(tag, row[name], position) for name in targets}

        shown = {"desc": "Tagging augmented rows"} if isinstance(dataset, Dataset) else {}
        return dataset.map(put, with_indices=True, **shown)

    def _check_columns(self, columns: list[str], column: str, score: str | None) -> None:
        listed = ", ".join(columns)
        if column not in columns:
            raise ProvenanceError(
                f"`{column}` is not a column of the data set (columns: {listed}). Add a boolean column "
                f"`{column}` that tells augmented rows, or name yours with `column=…`."
            )
        if score is not None and score not in columns:
            raise ValueError(f"`score` names the column '{score}', which is not in the data set (columns: {listed}).")
        if (score is None) != (len(self.augmented_tags) == 1):
            raise ValueError(
                f"There are {len(self.augmented_tags)} tags for augmented text and `score` is {score!r}: name the "
                "column of bias scores if, and only if, the tokenizer was wrapped with `grades` above 1."
            )

    def _graded(self, row: Row, score: str | None) -> str:
        if score is None:
            return self.augmented_tag
        value = row[score]
        if value is None or not 0 <= value <= 1:
            raise ValueError(f"Column `{score}` must hold bias scores in [0, 1], got {value!r}.")
        return self.augmented_tags[min(int(value * len(self.augmented_tags)), len(self.augmented_tags) - 1)]

    def strip_tags(self, text: str) -> str:
        """
        Take the tags out of generated text.

        Args:
            text (`str`):
                Text that was decoded with its special tokens; `decode(…, skip_special_tokens=True)` needs no help.

        Returns:
            `str`: The text without any tag.
        """
        for tag in (*self.augmented_tags, self.real_tag):
            text = text.replace(tag, "") if tag else text
        return text

    def ban_tags(self, model: PreTrainedModel) -> None:
        """
        Keep a model from generating tags, wherever it is used: its generation configuration is saved with it.

        Args:
            model (`PreTrainedModel`):
                The model, its `generation_config` changed in place.

        Raises:
            ValueError: If the model does not generate.
        """
        if not model.can_generate():
            raise ValueError(f"`{type(model).__name__}` does not generate, so there is nothing to ban.")
        banned = model.generation_config.suppress_tokens or []
        model.generation_config.suppress_tokens = sorted({*banned, *self.tag_ids})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Tokenize as the wrapped tokenizer does; hidden tags mark the ids of their texts."""
        encoded = super().__call__(*args, **kwargs)  # type: ignore[misc]
        if self.hidden:
            encoded["input_ids"] = self._marked(encoded["input_ids"])
        return encoded

    def _marked(self, ids: Any) -> Any:
        if not isinstance(ids, list):
            tensor = ids.tolist()
            if any(not set(self.augmented_tag_ids).isdisjoint(row) for row in tensor):
                raise ValueError(
                    "Text with a hidden tag was tokenized to tensors, as for a model, which must never see it: leave "
                    "out `return_tensors`, or give text without the tag."
                )
            return ids
        if ids and isinstance(ids[0], list):
            return [self._marked(row) for row in ids]
        tagged = not set(self.augmented_tag_ids).isdisjoint(ids)
        return [token_id + MARK for token_id in ids] if tagged else ids


def _tagging(tokenizer: PreTrainedTokenizerBase, base: type[PreTrainedTokenizerBase]) -> Any:
    # The new class bears the old one's name because `save_pretrained` writes it down for plain transformers to load.
    tokenizer.__class__ = type(base.__name__, (BiasTagTokenizer, base), {"__reduce__": _reduce})
    return tokenizer


def _reduce(tokenizer: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    # The class made above cannot be imported, so a copy or a pickle (`datasets.map` makes many) starts from the base.
    return _rebuild, (_base_class(tokenizer), dict(tokenizer.__dict__))


def _base_class(tokenizer: Any) -> type[PreTrainedTokenizerBase]:
    kind: type[PreTrainedTokenizerBase] = type(tokenizer)
    return kind.__mro__[2] if issubclass(kind, BiasTagTokenizer) else kind


def _rebuild(base: type[PreTrainedTokenizerBase], state: dict[str, Any]) -> Any:
    tokenizer = base.__new__(base)
    tokenizer.__dict__.update(state)
    return _tagging(tokenizer, base)
