"""Samples of items keep what a task balances, and prompts can bear a tag."""

from collections import Counter

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing

from mitigate import BiasTagTokenizer
from mitigate.scoring import candidate_probabilities
from mitigate.tasks import Prompt, choose, evaluate, evaluate_prompts, load_task, sample_prompts
from mitigate.tasks.answers import render
from tests.test_task_answers import TEMPLATE, small_model
from tests.tiny_tokenizers import byte_level_bpe


def posts(counts):
    labels = [label for label, count in counts.items() for _ in range(count)]
    return Dataset.from_dict({"text": [f"post {i}" for i in range(len(labels))], "label": labels})


class TestSamples:
    def test_panels_keep_all_their_orders(self):
        task = load_task("hiring")
        sample = sample_prompts(task, task.prompts(task.load()), 5)
        panels = Counter(prompt.block for prompt in sample)
        assert set(panels.values()) == {4} and len(panels) == 5
        places = Counter((place, group) for prompt in sample for place, group in enumerate(prompt.item["groups"]))
        assert set(places.values()) == {5}  # each group in each place

    @pytest.mark.parametrize(("name", "per_item"), [("salary", 4), ("letters", 2)])
    def test_every_group_is_asked_about_as_often_for_each_job(self, name, per_item):
        task = load_task(name)
        sample = sample_prompts(task, task.prompts(task.load()), 7)
        assert len(sample) == 7 * per_item
        assert len(set(Counter(prompt.group for prompt in sample).values())) == 1

    def test_questions_keep_all_their_orders(self):
        task = load_task("opinions")
        rows = [
            {"question": f"q{i}", "group": country, "options": ["yes", "no", "maybe"], "distribution": [0.2, 0.3, 0.5]}
            for i in range(6)
            for country in ("Brazil", "China")
        ]
        sample = sample_prompts(task, task.prompts(Dataset.from_list(rows)), 4)
        assert Counter(prompt.group for prompt in sample) == {"Brazil": 6, "China": 6}
        assert set(Counter(prompt.block for prompt in sample).values()) == {3}

    @settings(max_examples=30, deadline=None)
    @given(rare=st.integers(2, 30), frequent=st.integers(2, 30), size=st.integers(4, 70), seed=st.integers(0, 9))
    def test_labels_get_equal_shares_as_far_as_they_go(self, rare, frequent, size, seed):
        task = load_task("abuse-arabic")
        prompts = task.prompts(posts({"offensive": rare, "acceptable": frequent}))
        sample = sample_prompts(task, prompts, size, seed=seed)
        counts = Counter(prompt.target for prompt in sample)
        assert len(sample) == min(size, rare + frequent)
        if min(rare, frequent) >= (size + 1) // 2:
            assert abs(counts["offensive"] - counts["acceptable"]) <= 1
        else:
            assert min(counts.values()) == min(rare, frequent)
        assert [prompt for prompt in prompts if prompt in sample] == sample  # in their order, each once

    def test_draws_repeat_and_differ_between_seeds(self):
        task = load_task("stories")
        prompts = task.prompts(task.load())
        drawn = [sample_prompts(task, prompts, 30, seed=seed) for seed in (0, 0, 1)]
        assert drawn[0] == drawn[1] != drawn[2]

    def test_free_answers_are_no_labels(self):
        task = load_task("arithmetic")
        items = Dataset.from_dict({"question": [f"q{i}" for i in range(9)], "answer": [f"#### {i}" for i in range(9)]})
        assert len(sample_prompts(task, task.prompts(items), 3)) == 3

    def test_too_few_are_refused(self):
        task = load_task("stories")
        with pytest.raises(ValueError, match=r"`max_items=9` is too few for task 'stories', .* 10 groups .* to 20"):
            sample_prompts(task, task.prompts(task.load()), 9)

    def test_evaluate_asks_about_the_sample(self):
        tokenizer = byte_level_bpe()
        model, task = small_model(tokenizer), load_task("hiring")
        items = task.load()
        sample = sample_prompts(task, task.prompts(items), 3, seed=4)
        scores = evaluate(task, model, tokenizer, items, max_items=3, seed=4)
        assert scores == evaluate_prompts(task, model, tokenizer, sample, seed=4)
        assert scores.groups["male/Arabic"].n == 12


class TestTags:
    @pytest.fixture
    def tagged(self):
        return BiasTagTokenizer.wrap(byte_level_bpe(), paired=True)

    def test_where_a_tag_goes(self, tagged):
        tag = tagged.real_tag
        assert render(tagged, Prompt("she", tag=tag)) == f"{tag}she\nAnswer:"
        assert render(tagged, Prompt("she", tag=tag, tag_position="answer")) == f"she\nAnswer:{tag}"
        tagged.chat_template = TEMPLATE
        assert render(tagged, Prompt("she", tag=tag, tag_position="answer")) == f"<user>she<bot>{tag}"

    def test_after_the_token_of_the_beginning(self, tagged):
        tagged.bos_token = "<eos>"
        tagged.chat_template = "{{ bos_token }}" + TEMPLATE
        assert render(tagged, Prompt("she", tag=tagged.real_tag)) == f"<eos>{tagged.real_tag}<user>she<bot>"


def test_choices_after_a_chat_template_have_its_special_tokens_only():
    tokenizer = byte_level_bpe()
    tokenizer.bos_token = "<eos>"
    tokenizer._tokenizer.post_processor = TemplateProcessing(
        single="<eos> $A", special_tokens=[("<eos>", tokenizer.eos_token_id)]
    )
    tokenizer.chat_template = "{{ bos_token }}" + TEMPLATE
    model = small_model(tokenizer)
    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(20)  # so that one token more matters
    (found,) = choose(model, tokenizer, [Prompt("she", choices=("he", "her", "hat"))])
    options = (model, tokenizer, ["<eos><user>she<bot>"], [["he", "her", "hat"]])
    once, twice = (candidate_probabilities(*options, add_special_tokens=special)[0] for special in (False, True))
    np.testing.assert_allclose(found, once)
    assert not np.allclose(found, twice)
