"""Length and perplexity against one forward pass per token."""

import math

import pytest
import torch
from datasets import Dataset

from mitigate.perplexity import measure_texts

TEXTS = ["she writes well today", "he cures", "the nurse writes : well well well", "a doctor"]


@torch.no_grad()
def slow_log_perplexity(model, ids):
    total = 0.0
    for place in range(1, len(ids)):
        logits = model(input_ids=torch.tensor([ids[:place]])).logits[0, -1]
        total -= logits.double().log_softmax(dim=-1)[ids[place]].item()
    return total / (len(ids) - 1)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_one_pass_a_text_gives_the_same(model, tokenizer, batch_size):
    with torch.no_grad():
        model.lm_head.weight.normal_(std=0.5)
    model.train()
    measured = measure_texts(Dataset.from_dict({"text": TEXTS}), model, tokenizer, batch_size=batch_size)
    assert model.training
    assert list(measured["text"]) == TEXTS
    assert list(measured["length"]) == [4, 2, 7, 2]
    slow = [slow_log_perplexity(model.eval(), tokenizer(text)["input_ids"]) for text in TEXTS]
    assert list(measured["log_perplexity"]) == pytest.approx(slow, rel=1e-4)


def test_a_model_that_knows_nothing_has_the_size_of_its_vocabulary_as_perplexity(model, tokenizer):
    with torch.no_grad():
        model.lm_head.weight.zero_()
    measured = measure_texts(Dataset.from_dict({"words": TEXTS}), model, tokenizer, text="words")
    assert list(measured["log_perplexity"]) == pytest.approx([math.log(len(tokenizer))] * 4)


def test_a_long_text_is_cut_for_the_model_alone(model, tokenizer):
    cut, whole = (
        measure_texts(Dataset.from_dict({"text": [text]}), model, tokenizer, max_length=4)
        for text in ("she writes well today", "she writes well today he cures")
    )
    assert (cut["length"][0], whole["length"][0]) == (4, 6)
    assert cut["log_perplexity"][0] == whole["log_perplexity"][0]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ({"text": ["she writes", "she"]}, {}, r"Row 1 has a text without a token.*'she'.*\(1 of 2\)"),
        ({"prompt": ["a"]}, {}, r"`text` is not a column of the rows \(columns: prompt\)"),
        ({"text": ["a b"], "length": [1]}, {}, "`length` is a column of the rows already"),
        ({"text": ["a b"]}, {"max_length": 1}, "`max_length` must be at least 2, got 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(model, tokenizer, rows, options, message):
    with pytest.raises(ValueError, match=message):
        measure_texts(Dataset.from_dict(rows), model, tokenizer, **options)
