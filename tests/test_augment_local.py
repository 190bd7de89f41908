"""A model on this machine as the generator: draws by request, left padding, chat templates, ends."""

import pytest
import torch
from scipy.stats import chisquare

from mitigate.augment import Decoding, GenerationStopped, LocalGenerator, Request

PROMPTS = ["she writes", "the doctor cures well today", "Mary", "a nurse writes : answer"]


def ask(model, tokenizer, prompts=PROMPTS, batch_size=4, **decoding):
    decoding = Decoding(**{"max_tokens": 8, **decoding})
    requests = [Request(prompt, "tiny", decoding, sample) for sample, prompt in enumerate(prompts)]
    answers = {}
    failures = LocalGenerator(model, tokenizer, batch_size=batch_size)(requests, answers.__setitem__)
    return [answers.get(request) for request in requests], failures


@pytest.fixture
def lively(model):
    """The tiny model, with preferences that are worth drawing from."""
    with torch.no_grad():
        model.lm_head.weight.normal_(std=0.7)
    return model


def test_an_answer_does_not_depend_on_its_batch_or_on_global_seeds(lively, tokenizer):
    alone, failures = ask(lively, tokenizer, batch_size=1)
    torch.manual_seed(5)
    together, _ = ask(lively, tokenizer, batch_size=3)
    assert alone == together
    assert not failures
    assert [answer.prompt_tokens for answer in alone] == [2, 5, 1, 5]
    assert ask(lively, tokenizer, seed=1)[0] != alone


@torch.no_grad()
def test_without_temperature_the_likeliest_token_is_taken_as_by_hand(lively, tokenizer):
    lively.train()
    answers, _ = ask(lively, tokenizer, temperature=0.0)
    assert lively.training
    lively.eval()
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        ids = tokenizer(prompt)["input_ids"]
        written = []
        while len(written) < 8:
            token = lively(torch.tensor([ids + written])).logits[0, -1].argmax().item()
            if token == tokenizer.eos_token_id:
                break
            written.append(token)
        assert answer.text == tokenizer.decode(written, skip_special_tokens=True)
        assert answer.completion_tokens == len(written)
        assert answer.finish_reason == ("length" if len(written) == 8 else "stop")


@torch.no_grad()
@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (1.0, 0.8)])
def test_tokens_are_drawn_with_their_probabilities(lively, tokenizer, temperature, top_p):
    answers, _ = ask(lively, tokenizer, ["Mary"] * 3000, 500, max_tokens=1, temperature=temperature, top_p=top_p)
    logits = lively.eval()(torch.tensor([tokenizer("Mary")["input_ids"]])).logits[0, -1]
    shares, order = (logits / temperature).softmax(-1).sort(descending=True)
    kept = order[(shares.cumsum(0) - shares) < top_p]
    shares = (logits / temperature).softmax(-1)[kept]
    drawn = torch.tensor([tokenizer.convert_tokens_to_ids(answer.text) for answer in answers if answer.text])
    # Special tokens are not shown, so they are left out on both sides.
    shown = [place for place, token in enumerate(kept.tolist()) if token not in tokenizer.all_special_ids]
    counts = [(drawn == kept[place]).sum().item() for place in shown]
    assert sum(counts) == len(drawn)  # nothing from outside the mass of top_p
    assert len(shown) > 2
    expected = shares[shown] / shares[shown].sum() * len(drawn)
    assert chisquare(counts, expected.double().numpy(), sum_check=False).pvalue > 1e-3


def test_what_the_models_own_configuration_says_is_not_taken_over(lively, tokenizer):
    plain, _ = ask(lively, tokenizer)
    told = tokenizer(plain[0].text, add_special_tokens=False)["input_ids"]
    lively.generation_config.update(repetition_penalty=50.0, no_repeat_ngram_size=1, top_k=1, num_beams=3)
    lively.generation_config.update(suppress_tokens=told, begin_suppress_tokens=told, min_p=1.0)
    assert ask(lively, tokenizer)[0] == plain
    assert lively.generation_config.suppress_tokens == told


def test_a_text_ends_at_any_of_the_ends_of_the_model(lively, tokenizer):
    (whole,), _ = ask(lively, tokenizer, ["Mary"], seed=4)
    words = whole.text.split()
    assert len(words) > 2
    lively.generation_config.eos_token_id = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(words[1])]
    (cut,), _ = ask(lively, tokenizer, ["Mary"], seed=4)
    assert (cut.text.split(), cut.finish_reason) == (words[: words.index(words[1])], "stop")


def test_a_chat_template_is_used_with_thinking_off(lively, tokenizer):
    tokenizer.chat_template = (
        "{% for message in messages %}{{ message.role }} {{ message.content }} {% endfor %}"
        "{% if enable_thinking is defined and not enable_thinking %}: {% endif %}"
        "{% if add_generation_prompt %}answer{% endif %}"
    )
    chat, _ = ask(lively, tokenizer, ["she writes"])
    assert chat[0].prompt_tokens == len(["user", "she", "writes", ":", "answer"])


def test_a_request_that_is_too_long_for_the_model_fails_and_the_others_do_not(lively, tokenizer):
    lively.config.max_position_embeddings = 12
    answers, failures = ask(lively, tokenizer)
    assert [answer is None for answer in answers] == [False, True, False, True]
    assert failures[0].request.prompt == PROMPTS[1]
    assert failures[0].reason.startswith("prompt and answer need 13 tokens, and the model takes 12")


def test_a_model_that_cannot_end_a_text_is_refused(model, tokenizer):
    model.generation_config.eos_token_id = None
    tokenizer.eos_token = None
    with pytest.raises(GenerationStopped, match="no token that ends a text"):
        ask(model, tokenizer)


def test_values_out_of_range_are_refused(model, tokenizer):
    with pytest.raises(ValueError, match="`batch_size` must be at least 1, got 0"):
        LocalGenerator(model, tokenizer, batch_size=0)
    for values, message in (
        ({"temperature": -1}, "at least 0, got -1"),
        ({"top_p": 0}, "got 0"),
        ({"max_tokens": 0}, "1"),
    ):
        with pytest.raises(ValueError, match=message):
            Decoding(**values)
