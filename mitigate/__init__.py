"""Training-time mitigation of bias inheritance for Hugging Face trainers."""

from mitigate.lexicons import Lexicon, load_lexicon
from mitigate.masks import BiasMaskCollator, MaskConfig
from mitigate.provenance import ProvenanceError
from mitigate.tags import BiasTagTokenizer
from mitigate.warnings import NoEffectWarning

__all__ = [
    "BiasMaskCollator",
    "BiasTagTokenizer",
    "Lexicon",
    "MaskConfig",
    "NoEffectWarning",
    "ProvenanceError",
    "load_lexicon",
]
