"""Mask sensitive words in augmented rows: a collator for training loops and trainers that take one."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerBase

from mitigate.batches import Collator, ProvenanceCollator, Row, is_encoder_decoder
from mitigate.masks.config import MaskConfig, MaskMode, Words
from mitigate.masks.steps import MaskSensitiveWords
from mitigate.provenance import AUGMENTED_COLUMN, ProvenanceSource
from mitigate.tags import BiasTagTokenizer, RemoveTags, SilenceTags
from mitigate.warnings import PATIENCE, NoEffectWarning
from mitigate.words import Finder

__all__ = ["BiasMaskCollator", "MaskConfig", "MaskSensitiveWords"]


class BiasMaskCollator(ProvenanceCollator):
    """
    Mask the sensitive words of augmented rows, then collate.

    For a trainer of your own, or one that takes a collator; with TRL's packing, where it takes none, use the callback.
    Rows may be those of `Trainer`, or of TRL's supervised, preference (DPO, KTO) or reward trainers: in these, words
    are masked in prompts and answers alike. So are those of encoder-decoders, whose `labels` are an answer, if the
    collator knows the model: `DataCollatorForSeq2Seq(tokenizer, model=model)`. What is masked in labels is -100, and
    the decoder is given padding in its place.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer that made the rows. If it is a [`BiasTagTokenizer`], its tags or hidden marks tell augmented
            rows where the column is gone; hidden ones are taken out.
        lexicon (`str`, `Path`, `Lexicon`, an iterable of them, or a callable, *optional*, defaults to `"gender"`):
            The sensitive words, see [`~mitigate.lexicons.load_lexicon`]; or a finder of them, see [`MaskConfig`].
        mode (`str`, *optional*, defaults to `"placeholder"`):
            What becomes of a sensitive word: `"placeholder"`, `"kind"`, `"swap"`, `"random"`, `"loss"` or
            `"attention"`, see [`MaskConfig`].
        probability (`float`, *optional*, defaults to 1.0):
            Probability in (0, 1] with which each occurrence is masked, drawn anew each epoch.
        random_words (`bool`, *optional*, defaults to `False`):
            Whether to mask as many other words instead, drawn at random, as a control.
        mask_token (`str` or `Mapping[str, str]`, *optional*):
            The placeholder, a token of the vocabulary; by default the tokenizer's own `mask_token`. With
            `mode="kind"`, the token of each kind; those not named are `<|kind|>`.
        seed (`int`, *optional*, defaults to 0):
            Seed of all that is drawn.
        collator (`Callable`, *optional*):
            The collator that makes the batch. By default `DataCollatorForLanguageModeling(tokenizer, mlm=False)`: it
            pads, and makes the labels from the ids, whatever labels the rows had.
        column (`str`, *optional*, defaults to `"augmented"`):
            Boolean column that tells augmented rows. With `Trainer`, set `remove_unused_columns=False` to keep it.
        tag_ids (`Collection[int]`, *optional*):
            Token ids that mark augmented text where the column is gone.

    Attributes:
        epoch (`int`):
            The epoch that is drawn for. Set it when one begins, if anything is drawn; the callback does so itself.
        masked_words (`int`):
            Words masked so far, each time they came by, by all workers of the data loader.

    Raises:
        ValueError: If a lexicon is unknown or empty, a value is out of range, a placeholder is not in the vocabulary,
            or the tokenizer is of a kind that [`~mitigate.words.WordMatcher`] cannot read. When rows are collated: if
            words are to be swapped in rows whose labels are not their tokens.

    Example:
    ```python
    >>> from mitigate.masks.collator import BiasMaskCollator

    >>> collate = BiasMaskCollator(tokenizer, "gender")
    >>> batch = collate([{"input_ids": tokenizer("she sits").input_ids, "augmented": True}])
    >>> tokenizer.decode(batch["input_ids"][0])
    '<mask> sits'
    ```

    A finder is any function of text. With the analyzer of Presidio:

    ```python
    >>> def find(text):
    ...     return [(r.start, r.end, r.entity_type) for r in analyzer.analyze(text, language="en")]

    >>> collate = BiasMaskCollator(tokenizer, find)
    ```

    Finders that run a model are slow. Where cost matters, run them once beforehand, with `datasets.map`, and pass the
    words that they found as a [`Lexicon`].

    Every row needs the column, those of an evaluation set too (False there): a row that does not tell is an error.

    Limits: it hides what the lexicon lists, no more; other words of the row can still tell the group. A word of
    several tokens leaves as many placeholders, so its length shows.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        lexicon: Words | Finder = "gender",
        *,
        mode: MaskMode = "placeholder",
        probability: float = 1.0,
        random_words: bool = False,
        mask_token: str | Mapping[str, str] | None = None,
        seed: int = 0,
        collator: Collator | None = None,
        column: str = AUGMENTED_COLUMN,
        tag_ids: Collection[int] = (),
    ) -> None:
        step = MaskSensitiveWords(tokenizer, MaskConfig(lexicon, mode, probability, random_words, mask_token, seed))
        inner = collator or DataCollatorForLanguageModeling(tokenizer, mlm=False)
        known: object = tokenizer
        apart = is_encoder_decoder(getattr(inner, "model", None))
        source = ProvenanceSource(column, frozenset(tag_ids), encoder_decoder=apart)
        tags: RemoveTags | SilenceTags = SilenceTags(tag_ids)
        if isinstance(known, BiasTagTokenizer):
            source = replace(source, tag_ids=source.tag_ids.union(known.augmented_tag_ids), marked=known.hidden)
            tags = (RemoveTags if known.hidden else SilenceTags)({*tag_ids, *known.tag_ids})
        super().__init__(inner, source, steps=[step, tags])
        self._watching = True

    def __call__(self, rows: list[Row]) -> Any:
        """Mask and collate rows; see [`ProvenanceCollator`]."""
        batch = super().__call__(rows)
        if self._watching:
            self._look_for_augmented()
        return batch

    def _look_for_augmented(self) -> None:
        totals = self.tally.totals()
        self._watching = totals["augmented_rows"] == 0 and totals["real_rows"] < PATIENCE
        if totals["augmented_rows"] == 0 and not self._watching:
            warnings.warn(
                f"None of the first {totals['real_rows']} rows is augmented, so no word was masked: check column "
                f"`{self.source.column}` (with `Trainer`, set `remove_unused_columns=False` to keep it), or tag the "
                "data set, or shuffle it.",
                NoEffectWarning,
                stacklevel=3,
            )

    @property
    def masked_words(self) -> int:
        """`int`: Words masked so far, each time they came by, by all workers of the data loader."""
        return self.tally.totals()["masked_words"]
