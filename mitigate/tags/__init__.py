"""Token-based mitigation: augmented rows carry a tag."""

from mitigate.tags.steps import RemoveTags, SilenceTags, TokenPosition, WriteTags, check_tagging
from mitigate.tags.tokenizer import BiasTagTokenizer

__all__ = [
    "BiasTagTokenizer",
    "RemoveTags",
    "SilenceTags",
    "TokenPosition",
    "WriteTags",
    "check_tagging",
]
