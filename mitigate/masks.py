"""Mask sensitive words: replace them by a placeholder in augmented rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerBase

from mitigate.collation import Collator, ProvenanceCollator, Row
from mitigate.lexicons import Lexicon, load_lexicon
from mitigate.matching import WordMatcher
from mitigate.provenance import AUGMENTED_COLUMN, Segment


def placeholder_id(tokenizer: PreTrainedTokenizerBase, mask_token: str | None = None) -> int:
    """
    Choose the token that stands in for a sensitive word.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer.
        mask_token (`str`, *optional*):
            A token of its vocabulary. Without it, the tokenizer's own `mask_token` is taken.

    Returns:
        `int`: The id of the placeholder.

    Raises:
        ValueError: If `mask_token` is no token of the vocabulary, or if it is not given and the tokenizer has no mask
            token.
    """
    if mask_token is not None:
        token_id = tokenizer.get_vocab().get(mask_token)
        if token_id is None:
            raise ValueError(
                f"`mask_token` must be one token of the vocabulary, and '{mask_token}' is not. Pass one that is, or "
                f'add it: `tokenizer.add_special_tokens({{"mask_token": "{mask_token}"}})`, then '
                "`model.resize_token_embeddings(len(tokenizer))`."
            )
        return int(token_id)
    if tokenizer.mask_token_id is None:
        raise ValueError(
            "The tokenizer has no mask token. Add one: "
            '`tokenizer.add_special_tokens({"mask_token": "<|masked|>"})`, then '
            "`model.resize_token_embeddings(len(tokenizer))`; or pass a token of the vocabulary as `mask_token=…`, "
            "such as one of its reserved tokens."
        )
    return int(tokenizer.mask_token_id)


class MaskSensitiveWords:
    """
    Replace every token of a sensitive word by the placeholder, in augmented segments only.

    A step for `mitigate.collation.ProvenanceCollator`, which takes the placeholder out of the loss. Rows keep their
    length and their other columns. Each segment of a packed row is searched by itself, so no word reaches from one
    into the next.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer that made the rows.
        lexicon (`str`, `Path`, `Lexicon` or an iterable of them, *optional*, defaults to `"gender"`):
            The sensitive words, see [`~mitigate.lexicons.load_lexicon`].
        mask_token (`str`, *optional*):
            The placeholder; by default the tokenizer's own `mask_token`.

    Attributes:
        masked_words (`int`):
            Sensitive words masked so far, each time they came by. A copy of the step counts for itself: with
            `num_workers > 0` in the data loader, or several processes, the number in the main process stays behind.
        ignored_ids (`frozenset[int]`):
            The placeholder's id.

    Raises:
        ValueError: If the lexicon is unknown or empty, if there is no placeholder, or if the tokenizer is of a kind
            that [`~mitigate.matching.WordMatcher`] cannot read.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        lexicon: str | Path | Lexicon | Iterable[str | Path | Lexicon] = "gender",
        *,
        mask_token: str | None = None,
    ) -> None:
        words = load_lexicon(lexicon)
        self.placeholder_id = placeholder_id(tokenizer, mask_token)
        self.matcher = WordMatcher(tokenizer, words)
        self.ignored_ids = frozenset({self.placeholder_id})
        self.masked_words = 0

    def __call__(self, row: Row, segments: list[Segment]) -> tuple[Row, list[Segment]]:
        """
        Mask one row.

        Args:
            row (`dict`):
                A tokenized row with `input_ids`, a list of `n` integers.
            segments (`list[Segment]`):
                Its segments.

        Returns:
            `tuple[dict, list[Segment]]`: A new row with as many `input_ids`, and the same segments.
        """
        ids = list(row["input_ids"])
        for segment in segments:
            if segment.augmented:
                for start, stop in self.matcher.find(ids[segment.start : segment.stop]):
                    ids[segment.start + start : segment.start + stop] = [self.placeholder_id] * (stop - start)
                    self.masked_words += 1
        return {**row, "input_ids": ids}, segments


class BiasMaskCollator(ProvenanceCollator):
    """
    Mask the sensitive words of augmented rows, then collate.

    For a trainer of your own, or one that takes a collator; with TRL's packing, where it takes none, use the callback.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer that made the rows.
        lexicon (`str`, `Path`, `Lexicon` or an iterable of them, *optional*, defaults to `"gender"`):
            The sensitive words, see [`~mitigate.lexicons.load_lexicon`].
        collator (`Callable`, *optional*):
            The collator that makes the batch. By default `DataCollatorForLanguageModeling(tokenizer, mlm=False)`: it
            pads, and makes the labels from the ids, whatever labels the rows had.
        mask_token (`str`, *optional*):
            The placeholder, a token of the vocabulary; by default the tokenizer's own `mask_token`.
        column (`str`, *optional*, defaults to `"augmented"`):
            Boolean column that tells augmented rows. With `Trainer`, set `remove_unused_columns=False` to keep it.
        tag_ids (`Collection[int]`, *optional*):
            Token ids that mark augmented text where the column is gone.

    Attributes:
        masked_words (`int`):
            Sensitive words masked so far in this process; see [`MaskSensitiveWords`].

    Raises:
        ValueError: If the lexicon is unknown or empty, if there is no placeholder, or if the tokenizer is of a kind
            that [`~mitigate.matching.WordMatcher`] cannot read.

    Example:
    ```python
    >>> from mitigate.masks import BiasMaskCollator

    >>> collate = BiasMaskCollator(tokenizer, "gender")
    >>> batch = collate([{"input_ids": tokenizer("she sits").input_ids, "augmented": True}])
    >>> tokenizer.decode(batch["input_ids"][0])
    '<mask> sits'
    ```

    Every row needs the column, those of an evaluation set too (False there): a row that does not tell is an error.

    Limits: it hides what the lexicon lists, no more; other words of the row can still tell the group. Choose a
    placeholder that no text holds, best a special token: where real rows hold it, they lose its loss as well.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        lexicon: str | Path | Lexicon | Iterable[str | Path | Lexicon] = "gender",
        *,
        collator: Collator | None = None,
        mask_token: str | None = None,
        column: str = AUGMENTED_COLUMN,
        tag_ids: Collection[int] = (),
    ) -> None:
        step = MaskSensitiveWords(tokenizer, lexicon, mask_token=mask_token)
        inner = collator or DataCollatorForLanguageModeling(tokenizer, mlm=False)
        super().__init__(inner, column=column, tag_ids=tag_ids, steps=[step])
        self._step = step

    @property
    def masked_words(self) -> int:
        """Sensitive words masked so far in this process."""
        return self._step.masked_words
