"""Callbacks that mitigate bias inheritance in any Hugging Face trainer."""

from mitigate.callbacks.alignment import AlignmentLossCallback

__all__ = ["AlignmentLossCallback"]
