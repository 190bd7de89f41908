"""Score candidate answers with a causal language model: how likely is each, given the prompt?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerBase


@torch.no_grad()
def candidate_probabilities(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    candidates: Sequence[Sequence[str]],
    *,
    batch_size: int = 64,
    add_special_tokens: bool = True,
) -> list[NDArray[np.float64]]:
    """
    Probability of each candidate answer to each prompt, normalised over the candidates of that prompt.

    A candidate's weight is the product of the probabilities of its tokens. Nothing is generated, so no answer can be
    malformed.

    Args:
        model (`PreTrainedModel`):
            A causal language model; it is put into evaluation mode for the time of the call.
        tokenizer (`PreTrainedTokenizerBase`):
            Its tokenizer.
        prompts (`Sequence[str]`):
            `n` prompts.
        candidates (`Sequence[Sequence[str]]`):
            For each prompt its candidate answers, as they follow the prompt (mind the leading space).
        batch_size (`int`, *optional*, defaults to 64):
            Sequences in one forward pass.
        add_special_tokens (`bool`, *optional*, defaults to `True`):
            Whether the tokenizer puts its special tokens, such as that of the beginning of a text. A chat template has
            put them already.

    Returns:
        `list[np.ndarray]`: `n` arrays of float64; each sums to 1 and has one value a candidate.

    Raises:
        ValueError: If a candidate adds no token to its prompt.
        FloatingPointError: If the model's scores are not finite; see [`require_finite`].
    """
    sequences = [
        _tokenize(tokenizer, prompt, answer, add_special_tokens)
        for prompt, answers in zip(prompts, candidates, strict=True)
        for answer in answers
    ]
    with evaluation_mode(model):
        scores = _log_likelihoods(model, sequences, batch_size)
    bounds = np.cumsum([len(answers) for answers in candidates])[:-1]
    return [_normalise(part) for part in np.split(scores, bounds)]


@torch.no_grad()
def label_probabilities(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    max_length: int | None = None,
    batch_size: int = 64,
) -> list[NDArray[np.float64]]:
    """
    Probability of each label of a sequence classifier.

    Args:
        model (`PreTrainedModel`):
            The classifier; it is put into evaluation mode for the time of the call.
        tokenizer (`PreTrainedTokenizerBase`):
            Its tokenizer, with a padding token.
        texts (`Sequence[str]`):
            `n` texts.
        max_length (`int`, *optional*):
            Tokens after which a text is cut.
        batch_size (`int`, *optional*, defaults to 64):
            Texts in one forward pass.

    Returns:
        `list[np.ndarray]`: `n` arrays of float64, in the order of the classifier's labels; each sums to 1.

    Raises:
        FloatingPointError: If the model's scores are not finite; see [`require_finite`].
    """
    rows: list[NDArray[np.float64]] = []
    with evaluation_mode(model):
        for first in range(0, len(texts), batch_size):
            batch = list(texts[first : first + batch_size])
            inputs = tokenizer(
                batch, padding=True, truncation=max_length is not None, max_length=max_length, return_tensors="pt"
            ).to(model.device)
            logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
            found = logits.double().softmax(dim=-1).cpu().numpy()
            require_finite(found)
            rows += list(found)
    return rows


def require_finite(scores: NDArray[np.floating]) -> None:
    """
    Refuse scores of which nothing follows: the largest of values that are not numbers is the first, so that a model
    which training has broken would seem to answer, and always alike.

    Args:
        scores (`np.ndarray` of any shape):
            Probabilities, or the largest score of each of several answers.

    Raises:
        FloatingPointError: If one is NaN or infinite.
    """
    if not np.isfinite(scores).all():
        raise FloatingPointError(
            "The model's scores are not finite (NaN or infinite), so it cannot be measured: its training has "
            "diverged, or its weights are damaged. Lower the learning rate, clip gradients (`max_grad_norm`), or "
            "train in bf16 instead of fp16."
        )


@contextmanager
def evaluation_mode(model: PreTrainedModel) -> Iterator[None]:
    """
    Put a model into evaluation mode for a while.

    Args:
        model (`PreTrainedModel`):
            The model. It gets its mode back at the end, after an error too.
    """
    training = model.training
    model.train(False)
    try:
        yield
    finally:
        model.train(training)


def batch_logits(model: PreTrainedModel, sequences: Sequence[Sequence[int]]) -> Tensor:
    """
    Give the logits of sequences of different lengths, in one forward pass.

    Args:
        model (`PreTrainedModel`):
            A causal language model.
        sequences (`Sequence[Sequence[int]]` of length `n`):
            Token ids of each; the longest has `t`.

    Returns:
        `torch.Tensor` of shape `(n, t, vocabulary)`: Logits on the model's device and in its dtype; those beyond the
        end of a sequence mean nothing.
    """
    ids = pad_sequence([torch.tensor(sequence) for sequence in sequences], batch_first=True).to(model.device)
    lengths = torch.tensor([len(sequence) for sequence in sequences], device=model.device)
    mask = (torch.arange(ids.shape[1], device=model.device) < lengths[:, None]).long()
    logits: Tensor = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    return logits


def _tokenize(tokenizer: PreTrainedTokenizerBase, prompt: str, answer: str, special: bool) -> tuple[list[int], int]:
    start: list[int] = tokenizer(prompt, add_special_tokens=special)["input_ids"]
    whole: list[int] = tokenizer(prompt + answer, add_special_tokens=special)["input_ids"]
    shared = next(
        (i for i, (a, b) in enumerate(zip(start, whole, strict=False)) if a != b), min(len(start), len(whole))
    )
    if shared == len(whole):
        raise ValueError(f"The candidate {answer!r} adds no token to its prompt, so it cannot be scored.")
    return whole, shared


def _log_likelihoods(
    model: PreTrainedModel, sequences: list[tuple[list[int], int]], batch_size: int
) -> NDArray[np.float64]:
    # Candidates of one prompt that are a single token share its forward pass.
    passes: dict[tuple[int, ...], list[int]] = {}
    for number, (ids, _) in enumerate(sequences):
        passes.setdefault(tuple(ids[:-1]), []).append(number)
    scores = np.zeros(len(sequences))
    contexts = sorted(passes, key=len)  # so that little is padded
    for first in range(0, len(contexts), batch_size):
        batch = contexts[first : first + batch_size]
        # Row of the batch, position, next token and sequence of everything that is to be scored.
        wanted = [
            (row, position, sequences[number][0][position + 1], number)
            for row, context in enumerate(batch)
            for number in passes[context]
            for position in range(sequences[number][1] - 1, len(context))
        ]
        rows, positions, targets, numbers = (list(column) for column in zip(*wanted, strict=True))
        # Only the scored positions are widened: a whole batch of logits can outgrow the memory.
        chosen = batch_logits(model, batch)[rows, positions].float().log_softmax(dim=-1)
        found = chosen.gather(1, torch.tensor(targets, device=chosen.device)[:, None])[:, 0]
        np.add.at(scores, numbers, found.double().cpu().numpy())
    return scores


def _normalise(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    require_finite(scores.max())
    weights = np.exp(scores - scores.max())
    normalised: NDArray[np.float64] = weights / weights.sum()
    return normalised
