"""Measure a model by the probabilities of the answers to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mitigate.metrics import js_distance, stereotype_gap
from mitigate.scoring import candidate_probabilities, label_probabilities
from mitigate.tags import TokenPosition

Probabilities = Sequence[NDArray[np.float64]]


@dataclass(frozen=True)
class Asking:
    """
    How a trained model is asked.

    Args:
        seed (`int`):
            Seed of what is drawn to ask about.
        tag (`str`, *optional*, defaults to `""`):
            The tag of real rows, which a model trained with paired tags gets at inference.
        tag_position (`"start"` or `"answer"`, *optional*, defaults to `"answer"`):
            Where it goes: before the prompt, or right before the answer.
        classify (`bool`, *optional*, defaults to `False`):
            Whether the model is a classifier.
        max_length (`int`, *optional*):
            Tokens after which a classifier's text is cut.
    """

    seed: int
    tag: str = ""
    tag_position: TokenPosition = "answer"
    classify: bool = False
    max_length: int | None = None


def probabilities(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, test: Dataset, asking: Asking
) -> Probabilities:
    """
    Ask a model about test rows.

    Args:
        model (`PreTrainedModel`):
            A causal language model, or a classifier if `asking` says so.
        tokenizer (`PreTrainedTokenizerBase`):
            Its tokenizer.
        test (`Dataset`):
            `n` rows with `prompt` and, for a language model, `candidates`.
        asking (`Asking`):
            How to ask.

    Returns:
        `Sequence[np.ndarray]`: `n` arrays, one probability a candidate or label.
    """
    prompts = list(test["prompt"])
    if asking.classify:
        return label_probabilities(model, tokenizer, prompts, max_length=asking.max_length)
    at_start = asking.tag_position == "start"
    prompts = [asking.tag + prompt if at_start else prompt + asking.tag for prompt in prompts]
    return candidate_probabilities(model, tokenizer, prompts, list(test["candidates"]))


def classification_scores(
    test: Dataset, probabilities: Probabilities, stereotypes: dict[str, str]
) -> dict[str, float]:
    """
    Compute the stereotype-signed TPR gap and the accuracy.

    Args:
        test (`Dataset`):
            Rows with `label`, `group` and `candidates`.
        probabilities (`Sequence[np.ndarray]`):
            Probability of each candidate.
        stereotypes (`dict[str, str]`):
            Stereotyped group of each label.

    Returns:
        `dict[str, float]`: `bias` in [-1, 1] and `utility` in [0, 1].
    """
    choices = zip(test["candidates"], probabilities, strict=True)
    predictions = [answers[int(p.argmax())].strip() for answers, p in choices]
    labels, groups = list(test["label"]), list(test["group"])
    accuracy = float(np.mean([p == label for p, label in zip(predictions, labels, strict=True)]))
    return {"bias": stereotype_gap(labels, predictions, groups, stereotypes), "utility": accuracy}


def opinion_scores(test: Dataset, probabilities: Probabilities) -> dict[str, float]:
    """
    Compute how far the model's answers are from people's, in all and per group.

    Args:
        test (`Dataset`):
            Rows with `distribution` and, if there are groups, `group`.
        probabilities (`Sequence[np.ndarray]`):
            Probability of each answer.

    Returns:
        `dict[str, float]`: `bias`, the mean Jensen–Shannon distance in [0, 1]; `utility`, 1 minus that; and
        `bias/<group>` for every group.
    """
    targets = [np.asarray(target, dtype=float) for target in test["distribution"]]
    distances = np.array([js_distance(p, q) for p, q in zip(probabilities, targets, strict=True)])
    scores = {"bias": float(distances.mean()), "utility": float(1 - distances.mean())}
    if "group" in test.column_names:
        groups = np.asarray(test["group"])
        scores |= {f"bias/{group}": float(distances[groups == group].mean()) for group in sorted(set(groups))}
    return scores
