"""Training-time mitigation of bias inheritance for Hugging Face trainers."""

from mitigate.tags import BiasTagTokenizer

__all__ = ["BiasTagTokenizer"]
