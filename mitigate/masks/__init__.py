"""Mask-based mitigation: sensitive words of augmented rows are masked."""

from mitigate.masks.collator import BiasMaskCollator
from mitigate.masks.config import MaskConfig, MaskMode, ensure_mask_tokens
from mitigate.masks.steps import MaskSensitiveWords

__all__ = [
    "BiasMaskCollator",
    "MaskConfig",
    "MaskMode",
    "MaskSensitiveWords",
    "ensure_mask_tokens",
]
