"""Load a spaCy pipeline by its name, or say what to install."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spacy.language import Language


def load_pipeline(name: str) -> Language:
    """
    Load an installed pipeline.

    Args:
        name (`str`):
            Its name, such as `"en_core_web_sm"`, or its folder.

    Returns:
        `spacy.language.Language`: The pipeline.

    Raises:
        ImportError: If spaCy is not installed.
        OSError: If there is no such pipeline.
    """
    try:
        import spacy
    except ImportError as error:
        raise ImportError(
            f"The pipeline '{name}' needs spaCy, which is not installed: `pip install mitigate[ner]`, then "
            f"`python -m spacy download {name}`."
        ) from error
    return spacy.load(name)
