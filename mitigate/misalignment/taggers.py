"""Tags of tokens, of whose sequences templates are made: parts of speech, or frequent words and shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from spacy.language import Language

# Words that stand for themselves where there are no parts of speech.
FREQUENT_WORDS = 100

Texts = Sequence[Sequence[str]]


class Tagger(Protocol):
    """Gives a tag to each token."""

    @property
    def description(self) -> str:
        """`str`: What the tags are; it is shown wherever a result is."""

    def __call__(self, texts: Texts) -> list[list[str]]:
        """
        Tag texts.

        Args:
            texts (`Sequence[Sequence[str]]`):
                The tokens of each text.

        Returns:
            `list[list[str]]`: One tag for each token.
        """


class FrequentWordTagger:
    """
    Tags for want of parts of speech: each of the 100 most frequent words stands for itself, as most of them are
    function words in any language; of all others the shape is left (capital, lower case, number, punctuation mark).

    Args:
        texts (`Sequence[Sequence[str]]`):
            The tokens of the texts of both sides, in which words are counted.
    """

    description = "frequent words and shapes, not parts of speech, as no tagger was named"

    def __init__(self, texts: Texts) -> None:
        counts = Counter(token.lower() for text in texts for token in text)
        # By the alphabet where counts are equal, so that the order of the texts does not matter.
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        self._frequent = {word for word, _ in ranked[:FREQUENT_WORDS]}

    def __call__(self, texts: Texts) -> list[list[str]]:
        """
        Tag texts.

        Args:
            texts (`Sequence[Sequence[str]]`):
                The tokens of each text.

        Returns:
            `list[list[str]]`: One tag for each token.
        """
        return [[self._tag(token) for token in text] for text in texts]

    def _tag(self, token: str) -> str:
        lowered = token.lower()
        if lowered in self._frequent or not token[0].isalnum():
            return lowered
        return "9" if token[0].isdigit() else "Xx" if token[0] != lowered[0] else "xx"


class SpacyTagger:
    """
    Coarse parts of speech (Universal Dependencies) by a spaCy pipeline.

    Args:
        nlp (`spacy.language.Language`):
            A pipeline with a component that sets them, such as `spacy.load("en_core_web_sm")`.

    Raises:
        ValueError: When texts come, if the pipeline gives no parts of speech.
    """

    def __init__(self, nlp: Language) -> None:
        self._nlp = nlp
        self.description = f"parts of speech by spaCy's {nlp.meta['lang']}_{nlp.meta['name']}"

    def __call__(self, texts: Texts) -> list[list[str]]:
        """
        Tag texts.

        Args:
            texts (`Sequence[Sequence[str]]`):
                The tokens of each text.

        Returns:
            `list[list[str]]`: One tag for each token.
        """
        from spacy.tokens import Doc

        documents = self._nlp.pipe(Doc(self._nlp.vocab, words=list(text)) for text in texts)
        tags = [[token.pos_ for token in document] for document in documents]
        if not any(tag for text in tags for tag in text):
            raise ValueError(
                f"The pipeline gives no parts of speech (components: {', '.join(self._nlp.pipe_names) or 'none'}). "
                "Name one with a tagger, such as en_core_web_sm."
            )
        return tags
