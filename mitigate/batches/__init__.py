"""Rows in batches: which are augmented, where their texts lie, and how a text is edited in place."""

from mitigate.batches.collation import Collator, ProvenanceCollator, TextStep
from mitigate.batches.edits import Edit, apply_edits, merge_edits
from mitigate.batches.texts import Layout, Row, Text, is_encoder_decoder, layout_of, read_texts

__all__ = [
    "Collator",
    "Edit",
    "Layout",
    "ProvenanceCollator",
    "Row",
    "Text",
    "TextStep",
    "apply_edits",
    "is_encoder_decoder",
    "layout_of",
    "merge_edits",
    "read_texts",
]
