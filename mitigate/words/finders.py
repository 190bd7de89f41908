"""Finders of sensitive words in token ids: by a lexicon, or by a function of text such as a recogniser of names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from transformers import PreTrainedTokenizerBase

from mitigate.lexicons import Lexicon
from mitigate.recent import Recent
from mitigate.spacy_pipelines import load_pipeline
from mitigate.words.matching import WordMatcher
from mitigate.words.spans import RowSpans
from mitigate.words.token_spans import TokenReader
from mitigate.words.token_texts import BOUNDARY

if TYPE_CHECKING:
    from spacy.language import Language

# (first character, character after the last, kind) of each sensitive word of a text
Span = tuple[int, int, str]
Finder = Callable[[str], Iterable[Span]]
# (first token, token after the last, kind) of each sensitive word of a row; of several that share a token, the first's
Occurrence = tuple[int, int, str]

# Texts of which a process remembers the words: some ten megabytes, where a text has a thousand characters.
_REMEMBERED = 4096
_SPLIT_CHARACTER = re.compile("[\ud800-\udfff]")
_LABELS = {"PERSON": "gender", "NORP": "nationality"}


class LexiconFinder:
    """
    Find the words of a lexicon.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer of the rows.
        lexicon (`Lexicon`):
            The words.

    Raises:
        ValueError: If [`~mitigate.words.WordMatcher`] cannot read the tokenizer.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, lexicon: Lexicon) -> None:
        self._matcher = WordMatcher(tokenizer, lexicon)
        self._kinds = {entry: lexicon.kind(entry) for entry in lexicon.words}

    def find_all(self, rows: Sequence[Sequence[int]]) -> list[list[Occurrence]]:
        """
        Find the words.

        Args:
            rows (`Sequence[Sequence[int]]` of length `n`):
                Token ids of each row.

        Returns:
            `list[list[tuple[int, int, str]]]` of length `n`: First token, token after the last, and kind of each word
            of each row, ascending and disjoint.
        """
        found = self.find_spans(rows)
        kinds = map(self._kinds.__getitem__, found.entries)
        words = list(zip(found.starts, found.stops, kinds, strict=True))
        return [words[a:b] for a, b in pairwise(found.splits)]

    def find_spans(self, rows: Sequence[Sequence[int]]) -> RowSpans:
        """Find the words without their kinds; see [`WordMatcher.find_spans`]."""
        return self._matcher.find_spans(rows)


class TextFinder:
    """
    Find words in token ids by a function of text.

    The function is given the text of each row as its tokens tell it: with a space before the first word if the
    tokenizer puts one there, around punctuation if it does not tell (WordPiece), and with a line break for each
    special token. What it found is remembered for the latest 4,096 texts.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer of the rows.
        finder (`Callable[[str], Iterable[tuple[int, int, str]]]`):
            Gives first character, character after the last, and kind of each sensitive word of a text.

    Raises:
        ValueError: If the tokenizer is not a fast one, or of an unknown kind. When a row comes, if the finder gives
            something else than such spans.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, finder: Finder) -> None:
        self._finder = finder
        self._reader = TokenReader(tokenizer)
        self._found: Recent[str, list[Span]] = Recent(_REMEMBERED)

    def find_all(self, rows: Sequence[Sequence[int]]) -> list[list[Occurrence]]:
        """
        Find the words.

        Args:
            rows (`Sequence[Sequence[int]]` of length `n`):
                Token ids of each row.

        Returns:
            `list[list[tuple[int, int, str]]]` of length `n`: First token, token after the last, and kind of each word
            of each row, ascending and disjoint. Words that overlap or share a token are one, of the kind of the first.
        """
        return [self._find(ids) for ids in rows]

    def _find(self, ids: Sequence[int]) -> list[Occurrence]:
        read = self._reader.read(ids)
        text = _SPLIT_CHARACTER.sub("\N{REPLACEMENT CHARACTER}", read.text.replace(BOUNDARY, "\n"))
        found: list[Occurrence] = []
        for start, stop, kind in self._found.get(text, self._spans):
            first, after = read.tokens(start, stop)
            if found and first < found[-1][1]:
                first, before, kind = found.pop()
                after = max(after, before)
            found.append((first, after, kind))
        return found

    def _spans(self, text: str) -> list[Span]:
        spans = list(self._finder(text))
        for span in spans:
            if not _is_span(span, len(text)):
                raise ValueError(
                    f"The finder gave {span!r} for a text of {len(text)} characters; it must give (first character, "
                    "character after the last, kind) for each word, such as (0, 3, 'gender')."
                )
        return sorted(spans)


def _is_span(span: object, length: int) -> bool:
    match span:
        case (int(start), int(stop), str()):
            return 0 <= start < stop <= length
    return False


class SpacyFinder:
    """
    Finder of the names that a spaCy pipeline recognises, for `BiasMaskCollator(tokenizer, lexicon=SpacyFinder(…))`.

    Args:
        nlp (`str` or `spacy.language.Language`):
            A pipeline with a component that sets entities, or the name or path of an installed one, such as
            `"en_core_web_sm"`.
        labels (`Mapping[str, str]`, *optional*, defaults to `{"PERSON": "gender", "NORP": "nationality"}`):
            The labels of entities to take, and the kind that each stands for.

    Attributes:
        kinds (`frozenset[str]`):
            The kinds that it can give.

    Raises:
        ImportError: If `nlp` is a name and spaCy is not installed.
        ValueError: If `labels` is empty.

    Example:
    ```python
    >>> from mitigate.words.finders import SpacyFinder

    >>> finder = SpacyFinder("en_core_web_sm")
    >>> list(finder("Mary met two Dutch doctors."))
    [(0, 4, 'gender'), (13, 18, 'nationality')]
    ```

    A recogniser is slow, and workers of a data loader forget at the end of an epoch what it found, unless they are
    persistent. Where that costs too much, run it once beforehand: collect what it finds in the augmented rows with
    `datasets.map`, and pass the words as a [`Lexicon`].

    Limits: it finds what the pipeline finds, which differs between languages, spellings and groups of people. One that
    was trained on English with capitals finds little in lower case.
    """

    def __init__(self, nlp: str | Language, labels: Mapping[str, str] | None = None) -> None:
        self.labels = dict(_LABELS if labels is None else labels)
        if not self.labels:
            raise ValueError("`labels` is empty, so no entity would be taken. Name one, as in {'PERSON': 'gender'}.")
        self.nlp = load_pipeline(nlp) if isinstance(nlp, str) else nlp
        self.kinds = frozenset(self.labels.values())

    def __call__(self, text: str) -> list[Span]:
        """
        Find the words of a text.

        Args:
            text (`str`):
                The text.

        Returns:
            `list[tuple[int, int, str]]`: First character, character after the last, and kind of each.
        """
        return [
            (entity.start_char, entity.end_char, self.labels[entity.label_])
            for entity in self.nlp(text).ents
            if entity.label_ in self.labels
        ]
