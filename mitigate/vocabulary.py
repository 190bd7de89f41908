"""Marker tokens: find or add a special token, and give it an embedding."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import cast

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Special tokens that model makers left free: Llama 3, Gemma, BERT.
_RESERVED = re.compile(r"<\|reserved_special_token_\d+\|>|<unused\d+>|\[unused\d+\]")


def reserved_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """
    List the special tokens that the model's makers left without a use.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer.

    Returns:
        `list[str]`: In the order of their ids; empty for most models.
    """
    vocabulary = tokenizer.get_vocab()
    return sorted((token for token in vocabulary if _RESERVED.fullmatch(token)), key=vocabulary.__getitem__)


def ensure_special_token(
    tokenizer: PreTrainedTokenizerBase, token: str | None, default: str, taken: Collection[str] = ()
) -> str:
    """
    Choose a special token that marks something, and add it to the vocabulary if it is new.

    A reserved token needs no new row in the embedding matrix, so it is preferred where none is named.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer, changed in place.
        token (`str`, *optional*):
            The token to use.
        default (`str`):
            The token to add where none is named and none is reserved.
        taken (`Collection[str]`, *optional*):
            Reserved tokens that already have another use.

    Returns:
        `str`: The token, now a special token of `tokenizer`.
    """
    free = [reserved for reserved in reserved_tokens(tokenizer) if reserved not in taken]
    chosen = token or (free[0] if free else default)
    tokenizer.add_special_tokens({"extra_special_tokens": [chosen]}, replace_extra_special_tokens=False)
    return chosen


def tag_id(tokenizer: PreTrainedTokenizerBase, tag: str) -> int:
    """
    Look up the id of a tag.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer.
        tag (`str`):
            The tag.

    Returns:
        `int`: Its id.

    Raises:
        ValueError: If the tag is not a token of the vocabulary.
    """
    # Not by `get_vocab`, which makes a dictionary of the whole vocabulary each time.
    token_id = cast("int | None", tokenizer.convert_tokens_to_ids(tag))
    if token_id is None or tokenizer.convert_ids_to_tokens(token_id) != tag:
        raise ValueError(
            f"The tag '{tag}' is not a token of the tokenizer, so it would be split into pieces that mark nothing. "
            f"Use `BiasTagTokenizer.wrap(tokenizer, augmented_tag='{tag}')`, which adds it."
        )
    return token_id


def embedding_matrix(model: PreTrainedModel) -> Tensor:
    """
    Give the matrix of input embeddings.

    Args:
        model (`PreTrainedModel`):
            The model.

    Returns:
        `torch.Tensor` of shape `(rows, width)`: The parameter itself. Under ZeRO-3 it is empty here.
    """
    return cast(Tensor, model.get_input_embeddings().weight)


def embedding_rows(model: PreTrainedModel) -> int:
    """
    Count the rows of the matrix of input embeddings.

    Args:
        model (`PreTrainedModel`):
            The model.

    Returns:
        `int`: Its rows, also where they are split between processes; there may be more of them than tokens.
    """
    matrix = embedding_matrix(model)
    # Under ZeRO-3 a parameter is empty, and its own shape is kept apart.
    return int(getattr(matrix, "ds_shape", matrix.shape)[0])


def has_plain_embeddings(model: PreTrainedModel) -> bool:
    """
    Tell whether a model's input embeddings are as transformers made them.

    Args:
        model (`PreTrainedModel`):
            The model.

    Returns:
        `bool`: False if PEFT has wrapped them to train them, all or some.
    """
    return type(model.get_input_embeddings()).__module__.split(".")[0] != "peft"


def fit_embeddings(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> bool:
    """
    Give new tokens a row in the embedding matrix, drawn around the mean of the others.

    Args:
        model (`PreTrainedModel`):
            The model, changed in place.
        tokenizer (`PreTrainedTokenizerBase`):
            Its tokenizer.

    Returns:
        `bool`: Whether the matrix grew. It does not where the model was padded to more rows than it has tokens.

    Raises:
        ValueError: If it would have to grow and PEFT has wrapped it.
    """
    if len(tokenizer) <= embedding_rows(model):
        return False
    if not has_plain_embeddings(model):
        raise ValueError(
            "Tokens must be added to the model, but PEFT has wrapped its embeddings "
            f"(`{type(model.get_input_embeddings()).__name__}`), which cannot grow any more. Add them before the "
            "adapters: `BiasTagTokenizer.wrap(tokenizer)` and `tokenizer.add_special_tokens` for a mask token, then "
            "`model.resize_token_embeddings(len(tokenizer))`."
        )
    model.resize_token_embeddings(len(tokenizer), mean_resizing=True)
    return True
