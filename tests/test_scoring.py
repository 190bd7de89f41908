"""Scores of candidate answers against one forward pass per token."""

import math

import numpy as np
import pytest
import torch
from transformers import LlamaForSequenceClassification

from mitigate.scoring import candidate_probabilities, label_probabilities
from tests.tiny_tokenizers import byte_level_bpe

PROMPTS = ["She said he would", "the shell of", "Papua New"]
CANDIDATES = [[" help", " her"], [" Türkiye", " the hero", " man"], [" Guinea", " Guinea-Bissau met South Korea"]]


@pytest.fixture
def byte_level(model):
    """A tokenizer that splits rare words, and a model for it whose next token is far from certain."""
    tokenizer = byte_level_bpe()
    model.resize_token_embeddings(len(tokenizer))
    with torch.no_grad():
        model.lm_head.weight.normal_(std=0.3)
        model.model.embed_tokens.weight.normal_()
    return model, tokenizer


@torch.no_grad()
def slow_probabilities(model, tokenizer, prompt, candidates):
    weights = []
    for candidate in candidates:
        start = len(tokenizer(prompt)["input_ids"])
        ids = tokenizer(prompt + candidate)["input_ids"]
        assert ids[:start] == tokenizer(prompt)["input_ids"]
        weight = 1.0
        for place in range(start, len(ids)):
            logits = model(input_ids=torch.tensor([ids[:place]])).logits[0, -1]
            weight *= logits.double().softmax(dim=-1)[ids[place]].item()
        weights.append(weight)
    return np.array(weights) / sum(weights)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_one_pass_a_token_gives_the_same_probabilities(byte_level, batch_size):
    model, tokenizer = byte_level
    lengths = {len(tokenizer(answer)["input_ids"]) for answers in CANDIDATES for answer in answers}
    assert 1 in lengths
    assert max(lengths) > 2
    found = candidate_probabilities(model, tokenizer, PROMPTS, CANDIDATES, batch_size=batch_size)
    for prompt, candidates, probabilities in zip(PROMPTS, CANDIDATES, found, strict=True):
        slow = slow_probabilities(model.eval(), tokenizer, prompt, candidates)
        np.testing.assert_allclose(probabilities, slow, rtol=1e-4)
        assert probabilities.sum() == pytest.approx(1)
        assert np.ptp(probabilities) > 0.01


def test_one_candidate_may_be_the_beginning_of_another(byte_level):
    model, tokenizer = byte_level
    (probabilities,) = candidate_probabilities(model, tokenizer, ["the"], [[" shell", " shell there"]])
    assert probabilities[0] > probabilities[1]


def test_a_question_alone_is_scored_as_among_others(byte_level):
    model, tokenizer = byte_level
    together = candidate_probabilities(model, tokenizer, PROMPTS, CANDIDATES)
    for number, prompt in enumerate(PROMPTS):
        (alone,) = candidate_probabilities(model, tokenizer, [prompt], [CANDIDATES[number]])
        np.testing.assert_allclose(alone, together[number], rtol=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_scored_without_dropout_and_left_in_its_mode(model, tokenizer, training):
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    model.train(training)
    scores = [candidate_probabilities(model, tokenizer, ["she writes"], [["  well", " today"]])[0] for _ in range(2)]
    np.testing.assert_array_equal(*scores)
    assert model.training is training


def test_a_candidate_that_adds_nothing_is_refused(model, tokenizer):
    with pytest.raises(ValueError, match="The candidate '' adds no token to its prompt"):
        candidate_probabilities(model, tokenizer, ["she writes"], [["", " well"]])


@torch.no_grad()
def test_labels_of_a_classifier_do_not_depend_on_the_other_texts_of_the_batch(model, tokenizer):
    classifier = LlamaForSequenceClassification(model.config)
    texts = ["she writes", "the doctor cures well today", "he"]
    found = label_probabilities(classifier, tokenizer, texts, batch_size=2)
    for text, probabilities in zip(texts, found, strict=True):
        logits = classifier.eval()(**tokenizer(text, return_tensors="pt", return_token_type_ids=False)).logits[0]
        np.testing.assert_allclose(probabilities, logits.softmax(dim=-1).numpy(), rtol=1e-4)
    assert not np.allclose(found[0], found[1])


def test_texts_are_cut_at_the_maximum_length(model, tokenizer):
    classifier = LlamaForSequenceClassification(model.config)
    long, short = label_probabilities(classifier, tokenizer, ["she writes well", "she writes"], max_length=2)
    np.testing.assert_allclose(long, short, rtol=1e-5)


@torch.no_grad()
def test_a_model_that_diverged_has_no_probabilities(model, tokenizer):
    classifier = LlamaForSequenceClassification(model.config)
    model.model.norm.weight[0] = math.nan
    with pytest.raises(FloatingPointError, match=r"scores are not finite .* Lower the learning rate"):
        candidate_probabilities(model, tokenizer, ["she writes"], [[" well", " today"]])
    classifier.score.weight[0, 0] = math.inf
    with pytest.raises(FloatingPointError, match="scores are not finite"):
        label_probabilities(classifier, tokenizer, ["she writes"])


@torch.no_grad()
def test_an_answer_without_a_chance_has_probability_0(model, tokenizer):
    no_today = torch.zeros(len(tokenizer)).index_fill(0, torch.tensor(tokenizer("today")["input_ids"]), -math.inf)
    model.lm_head.register_forward_hook(lambda module, given, logits: logits + no_today)
    (found,) = candidate_probabilities(model, tokenizer, ["she writes"], [[" well", " today"]])
    assert found.tolist() == [1, 0]
    with pytest.raises(FloatingPointError, match="scores are not finite"):
        candidate_probabilities(model, tokenizer, ["she writes"], [[" today"]])
