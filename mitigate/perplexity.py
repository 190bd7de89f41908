"""Length and perplexity of texts, two things in which augmented and real rows differ whatever they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from datasets import Dataset
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mitigate.mixing import check_new_column
from mitigate.scoring import batch_logits, evaluation_mode

LENGTH_COLUMN = "length"
LOG_PERPLEXITY_COLUMN = "log_perplexity"

# Gives the log-perplexity of every text, in nats a token.
Perplexity = Callable[[Sequence[str]], Sequence[float]]


def measure_texts(
    rows: Dataset,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    text: str = "text",
    max_length: int = 1024,
    batch_size: int = 16,
) -> Dataset:
    r"""
    Add the columns `length` and `log_perplexity`, to match on with [`mitigate.controls.match_controls`].

    The length counts the tokens of the whole text without special tokens. The log-perplexity is
    \\( -\frac{1}{T} \sum_t \ln p(x_t \mid x_{<t}) \\), in nats a token, over the first `max_length` tokens. The first
    of them counts only if the tokenizer puts a special token before it, for otherwise nothing predicts it.

    Take a model that has not written the augmented rows, for a model's own text has a low perplexity to it. The base
    model that is to be fine-tuned is a good choice.

    Args:
        rows (`Dataset`):
            Rows with a column of texts.
        model (`PreTrainedModel`):
            A causal language model; it is put into evaluation mode for the time of the call.
        tokenizer (`PreTrainedTokenizerBase`):
            Its tokenizer.
        text (`str`, *optional*, defaults to `"text"`):
            Column of the texts.
        max_length (`int`, *optional*, defaults to 1024):
            Tokens that the model reads, with special tokens; at least 2.
        batch_size (`int`, *optional*, defaults to 16):
            Texts in one forward pass.

    Returns:
        `Dataset`: The rows in their order, with both columns.

    Raises:
        ValueError: If there is no such column, one of the two is there already, `max_length` is below 2, or a text is
            too short to have a perplexity.

    Example:
    ```python
    >>> from transformers import AutoModelForCausalLM, AutoTokenizer
    >>> from mitigate.perplexity import measure_texts

    >>> name = "Qwen/Qwen3-0.6B-Base"
    >>> model, tokenizer = AutoModelForCausalLM.from_pretrained(name), AutoTokenizer.from_pretrained(name)
    >>> rows = measure_texts(rows, model, tokenizer)
    ```
    """
    _check_request(rows, text, max_length)
    texts = list(rows[text])
    lengths = [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]] if texts else []
    ids = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"] if texts else []
    short = [number for number, row in enumerate(ids) if len(row) < 2]
    if short:
        raise ValueError(
            f"Row {short[0]} has a text without a token that could be predicted: {texts[short[0]]!r}. Leave out such "
            f"rows ({len(short)} of {len(ids)})."
        )
    with evaluation_mode(model):
        measured = _log_perplexities(model, ids, batch_size)
    return rows.add_column(LENGTH_COLUMN, np.asarray(lengths, np.int64)).add_column(LOG_PERPLEXITY_COLUMN, measured)


def model_perplexity(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, max_length: int = 1024, batch_size: int = 16
) -> Perplexity:
    """
    Give a function of texts, for the perplexity check of [`mitigate.twins.make_twins`].

    Args:
        model (`PreTrainedModel`):
            A causal language model. Name it where you report the share of rejected rows, for it decides that share.
        tokenizer (`PreTrainedTokenizerBase`):
            Its tokenizer.
        max_length (`int`, *optional*, defaults to 1024):
            Tokens that the model reads.
        batch_size (`int`, *optional*, defaults to 16):
            Texts in one forward pass.

    Returns:
        `Callable[[Sequence[str]], Sequence[float]]`: Log-perplexity of every text, see
        [`measure_texts`].
    """

    def measure(texts: Sequence[str]) -> Sequence[float]:
        rows = Dataset.from_dict({"text": list(texts)})
        measured = measure_texts(rows, model, tokenizer, max_length=max_length, batch_size=batch_size)
        return list(measured[LOG_PERPLEXITY_COLUMN])

    return measure


def _check_request(rows: Dataset, text: str, max_length: int) -> None:
    if text not in rows.column_names:
        raise ValueError(f"`{text}` is not a column of the rows (columns: {', '.join(rows.column_names)}).")
    for column in (LENGTH_COLUMN, LOG_PERPLEXITY_COLUMN):
        check_new_column(rows.features, column)
    if max_length < 2:
        raise ValueError(f"`max_length` must be at least 2, got {max_length}: the first token is not predicted.")


@torch.no_grad()
def _log_perplexities(model: PreTrainedModel, ids: list[list[int]], batch_size: int) -> np.ndarray:
    measured = np.zeros(len(ids))
    by_length = sorted(range(len(ids)), key=lambda number: len(ids[number]))  # so that little is padded
    for first in range(0, len(by_length), batch_size):
        batch = by_length[first : first + batch_size]
        logits = batch_logits(model, [ids[number] for number in batch])
        for row, number in enumerate(batch):  # a whole batch of widened logits can outgrow the memory
            targets = torch.tensor(ids[number][1:], device=logits.device)
            measured[number] = cross_entropy(logits[row, : len(targets)].float(), targets).item()
    return measured
