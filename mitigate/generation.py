"""Let a model write as one configuration says, and as nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import GenerationConfig, PreTrainedModel


@contextmanager
def only_configuration(config: GenerationConfig, model: PreTrainedModel) -> Iterator[None]:
    """
    Keep a model from filling in what a configuration leaves open from its own, such as a repetition penalty.

    Args:
        config (`GenerationConfig`):
            The configuration that `generate` is given.
        model (`PreTrainedModel`):
            The model; it has its own configuration again after the `with` block.
    """
    # A model of PEFT hands its base model what it finds there.
    inner: PreTrainedModel = getattr(model, "get_base_model", lambda: model)()
    own = inner.generation_config
    inner.generation_config = config
    try:
        yield
    finally:
        inner.generation_config = own
