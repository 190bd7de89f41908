"""The step that masks sensitive words among the tokens of augmented rows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

from transformers import PreTrainedTokenizerBase

from mitigate.batches import Edit, Text
from mitigate.masks.config import MaskConfig, mask_token_ids
from mitigate.seeding import text_generator
from mitigate.twins import WordSwapper
from mitigate.words import LexiconFinder, Occurrence, TextFinder
from mitigate.words.entries import WORD
from mitigate.words.spans import RowSpans
from mitigate.words.token_spans import TokenReader


class MaskSensitiveWords:
    """
    Step that masks sensitive words, in augmented segments only.

    Each segment of a packed row is searched by itself, so no word reaches from one into the next.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer that made the rows.
        config (`MaskConfig`):
            What is masked, and how.

    Attributes:
        words_name (`str`):
            What the sensitive words are called in messages.
        placeholder_ids (`list[int]`):
            The ids of its placeholders.

    Raises:
        ValueError: If there is no placeholder, or if the tokenizer is of a kind that
            [`~mitigate.words.WordMatcher`] cannot read.
    """

    name = "masked_words"

    def __init__(self, tokenizer: PreTrainedTokenizerBase, config: MaskConfig) -> None:
        self.config = config
        self._seed = config.seed or 0
        self._token_ids = mask_token_ids(tokenizer, config)
        self.placeholder_ids = list(self._token_ids.values())
        words, finder = config.words, config.finder
        self._finder: LexiconFinder | TextFinder
        if words is not None:
            self._finder = LexiconFinder(tokenizer, words)
            self.words_name = f"lexicon '{words.name}'"
        else:
            assert finder is not None  # one of the two is there
            self._finder = TextFinder(tokenizer, finder)
            self.words_name = f"finder {getattr(finder, '__name__', type(finder).__name__)}"
        self._reader = TokenReader(tokenizer) if config.random_words else None
        self._swapper: WordSwapper | None = None
        if config.mode in ("swap", "random") and words is not None:
            self._swapper = WordSwapper(tokenizer, words, invert=config.mode == "swap")
        # To hash a text for its generator takes longer than all else that is done with it.
        self._draws = config.probability < 1 or self._reader is not None

    def edits(self, texts: Sequence[Text], epoch: int) -> list[list[Edit]]:
        """Mask the words; see [`TextStep`]."""
        parts = _augmented_parts(texts)
        rows = [ids for *_, ids in parts]
        if isinstance(self._finder, LexiconFinder) and self.config.mode == "placeholder" and not self._draws:
            masked = self._mask_all(self._finder.find_spans(rows))
        else:
            found = self._finder.find_all(rows)
            masked = [
                self._mask(ids, words, epoch)
                if self._swapper is None
                else self._swap(self._swapper, ids, words, _opening(texts, place) or ids, epoch)
                for (place, _, ids), words in zip(parts, found, strict=True)
            ]
        edits: list[list[Edit]] = [[] for _ in texts]
        for (place, start, _), made in zip(parts, masked, strict=True):
            edits[place] += [_moved(edit, start) for edit in made] if start else made
        return edits

    def finds_any(self, texts: Sequence[Text]) -> bool:
        """
        Tell whether there is anything to mask.

        Args:
            texts (`Sequence[Text]`):
                The texts.

        Returns:
            `bool`: Whether an augmented segment holds a sensitive word, whatever the probability.
        """
        return any(self._finder.find_all([ids for *_, ids in _augmented_parts(texts)]))

    def _mask_all(self, found: RowSpans) -> list[list[Edit]]:
        """Put placeholders over all words of a batch: what is asked for most, faster than word by word."""
        placeholder = (self._token_ids[""],)
        ids = [placeholder * (stop - start) for start, stop in zip(found.starts, found.stops, strict=True)]
        edits = list(map(Edit, found.starts, found.stops, ids))
        return [edits[a:b] for a, b in pairwise(found.splits)]

    def _mask(self, ids: list[int], words: list[Occurrence], epoch: int) -> list[Edit]:
        if not words:
            return []
        if not self._draws:
            return self._edits(ids, words)
        generator = text_generator(ids, self._seed, epoch, self.name)
        chosen = [word for word in words if generator.random() < self.config.probability]
        if self._reader is not None:
            chosen = _draw_others(self._reader, ids, words, chosen, generator)
        return self._edits(ids, chosen)

    def _swap(
        self, swapper: WordSwapper, ids: list[int], words: list[Occurrence], key: list[int], epoch: int
    ) -> list[Edit]:
        if not words:
            return []
        # A text is swapped as a whole or not at all, for halves would contradict each other.
        generator = text_generator(key, self._seed, epoch, self.name)
        if generator.random() >= self.config.probability:
            return []
        swaps = swapper.swap(ids, [word[:2] for word in words], generator.getrandbits(64))
        return [Edit(*swap, in_loss=True) for swap in swaps]

    def _edits(self, ids: list[int], words: list[Occurrence]) -> list[Edit]:
        if self.config.mode in ("loss", "attention"):
            attended = self.config.mode == "loss"
            return [Edit(start, stop, tuple(ids[start:stop]), False, attended) for start, stop, _ in words]
        if self.config.mode == "kind":
            return [Edit(start, stop, (self._placeholder(kind),) * (stop - start)) for start, stop, kind in words]
        placeholder = (self._token_ids[""],)
        return [Edit(start, stop, placeholder * (stop - start)) for start, stop, _ in words]

    def _placeholder(self, kind: str) -> int:
        placeholder = self._token_ids.get(kind)
        if placeholder is None:
            raise ValueError(
                f"The finder gave a word of the kind '{kind}', for which `mask_token` names no token: add it, as in "
                f"`mask_token={{'{kind}': '<|{kind}|>', …}}`."
            )
        return placeholder


def _augmented_parts(texts: Sequence[Text]) -> list[tuple[int, int, list[int]]]:
    """Return text, start and ids of each augmented segment."""
    return [
        # Most segments are the whole text, which need not be copied.
        (place, start, text.ids if stop - start == len(text.ids) else text.ids[start:stop])
        for place, text in enumerate(texts)
        for start, stop, augmented in text.segments
        if augmented
    ]


def _opening(texts: Sequence[Text], place: int) -> list[int]:
    """Return the prompt that an answer goes on with, so that both are swapped alike; nothing for a whole text."""
    return [] if texts[place].opens else next(text.ids for text in reversed(texts[:place]) if text.opens)


def _moved(edit: Edit, by: int) -> Edit:
    return edit._replace(start=edit.start + by, stop=edit.stop + by)


def _draw_others(
    reader: TokenReader,
    ids: list[int],
    words: list[Occurrence],
    chosen: list[Occurrence],
    generator: random.Random,
) -> list[Occurrence]:
    """Draw as many words as are chosen, or all there are, among those that share no token with a sensitive one."""
    read = reader.read(ids)
    sensitive = {token for start, stop, _ in words for token in range(start, stop)}
    spans: list[tuple[int, int]] = []
    for match in WORD.finditer(read.text):
        start, stop = read.tokens(*match.span())
        if spans and start < spans[-1][1]:
            start = spans.pop()[0]
        spans.append((start, stop))
    others = [span for span in spans if sensitive.isdisjoint(range(*span))]
    drawn = sorted(generator.sample(others, min(len(chosen), len(others))))
    return [(*span, kind) for span, (*_, kind) in zip(drawn, chosen, strict=False)]
