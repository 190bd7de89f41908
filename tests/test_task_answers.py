import copy
import json
import math
import sqlite3

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from mitigate.tasks import TASKS, Decoding, Prompt, Source, choose, evaluate, generate, load_task
from mitigate.tasks.answers import render
from mitigate.tasks.cache import fingerprint
from mitigate.tasks.missing import bounded_mean, group_means
from mitigate.tasks.parsing import exact_label, is_refusal, long_answer, only_mention
from mitigate.tasks.sources import load_rows
from tests.tiny_tokenizers import KINDS
from tests.tiny_tokenizers import byte_level_bpe as build

TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<bot>{% endif %}"
)
PROMPTS = [
    Prompt("she said"),
    Prompt("he met her in the shell, and the other hero"),
    Prompt("United"),
    Prompt("she said"),
]


def small_model(tokenizer):
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
            max_position_embeddings=4096,
        )
    )


@pytest.fixture
def words():
    return build()


@pytest.fixture
def network(words):
    return small_model(words)


class TestGenerate:
    def test_a_batch_gives_what_each_prompt_gives_alone(self, network, words):
        decoding = Decoding(5)
        together = generate(network, words, PROMPTS, decoding)
        for prompt, answer in zip(PROMPTS, together, strict=True):
            ids = words(render(words, prompt), return_tensors="pt")["input_ids"]
            alone = network.generate(ids, max_new_tokens=5, do_sample=False)[0, ids.shape[1] :]
            assert answer == words.decode(alone, skip_special_tokens=True).strip()

    def test_draws_repeat_and_differ_between_seeds(self, network, words):
        drawn = [generate(network, words, PROMPTS, Decoding(8, 2.0, seed=seed)) for seed in (0, 0, 1)]
        assert drawn[0] == drawn[1] != drawn[2]

    def test_leaves_the_callers_random_state_and_mode(self, network, words):
        network.train()
        before = torch.random.get_rng_state()
        generate(network, words, PROMPTS, Decoding(3, 1.0))
        assert torch.equal(before, torch.random.get_rng_state())
        assert network.training

    def test_cached_answers_are_not_written_again(self, network, words, tmp_path):
        cache = tmp_path / "folder" / "answers.sqlite"
        generate(network, words, PROMPTS, Decoding(4), cache=cache)
        with sqlite3.connect(cache) as database:
            assert database.execute("SELECT COUNT(*) FROM answers").fetchone() == (3,)  # two prompts are equal
            database.execute("UPDATE answers SET answer = 'from the cache'")
        assert generate(network, words, PROMPTS, Decoding(4), cache=cache) == ["from the cache"] * 4
        assert generate(network, words, PROMPTS[:1], Decoding(5), cache=cache) != ["from the cache"]
        with torch.no_grad():
            network.lm_head.weight[0, 0] += 1
        assert generate(network, words, PROMPTS, Decoding(4), cache=cache) != ["from the cache"] * 4

    def test_a_template_makes_a_users_turn(self, network, words):
        words.chat_template = TEMPLATE
        assert render(words, Prompt("Hello")) == "<user>Hello<bot>"
        assert len(generate(network, words, [Prompt("Hello")], Decoding(2))) == 1

    def test_refuses_what_cannot_work(self, network, words):
        words.pad_token = None
        with pytest.raises(ValueError, match="no padding token"):
            generate(network, words, PROMPTS, Decoding(2))
        with pytest.raises(ValueError, match="`temperature` must be at least 0, got -1"):
            Decoding(1, -1)
        with pytest.raises(ValueError, match="no `choices`"):
            choose(network, words, PROMPTS)

    @pytest.mark.parametrize("temperature", [0.0, 1.0])
    def test_a_model_that_diverged_writes_nothing(self, network, words, temperature):
        with torch.no_grad():
            network.model.norm.weight[0] = math.nan
        with pytest.raises(FloatingPointError, match="scores are not finite"):
            generate(network, words, PROMPTS, Decoding(2, temperature))

    @pytest.mark.parametrize(
        "own",
        [
            {"repetition_penalty": 9.0},
            {"no_repeat_ngram_size": 1},
            {"suppress_tokens": [5]},
            {"min_new_tokens": 5},
            {"stop_strings": ["e"]},
        ],
    )
    def test_the_models_own_generation_configuration_does_not_count(self, network, words, own):
        before = [generate(network, words, PROMPTS, Decoding(6, temperature)) for temperature in (0.0, 1.0)]
        for network_or_adapted in (network, get_peft_model(network, LoraConfig(target_modules=["q_proj"]))):
            network.generation_config = GenerationConfig(eos_token_id=network.config.eos_token_id, **own)
            configured = network.generation_config
            after = [generate(network_or_adapted, words, PROMPTS, Decoding(6, t)) for t in (0.0, 1.0)]
            assert after == before
            assert network.generation_config is configured

    def test_draws_are_from_all_tokens(self, network, words):
        with torch.no_grad():
            network.lm_head.weight.zero_()
        prompts = [Prompt(f"she said {number}") for number in range(150)]
        assert len(set(generate(network, words, prompts, Decoding(1, 1.0)))) > 50

    def test_fingerprint_tells_configurations(self, network, words):
        other = LlamaForCausalLM(LlamaConfig.from_dict(network.config.to_dict() | {"rms_norm_eps": 1e-2}))
        other.load_state_dict(network.state_dict())
        assert fingerprint(network) != fingerprint(other)

    def test_fingerprint_tells_adapters(self, network):
        found = set()
        for alpha in (1, 64):
            torch.manual_seed(0)
            adapted = get_peft_model(copy.deepcopy(network), LoraConfig(lora_alpha=alpha, target_modules=["q_proj"]))
            found.add(fingerprint(adapted))
            with adapted.disable_adapter():
                found.add(fingerprint(adapted))
            adapted.add_adapter("second", LoraConfig(target_modules=["q_proj"]))
            found.add(fingerprint(adapted))
            adapted.set_adapter("second")
            found.add(fingerprint(adapted))
        assert len(found) == 8

    def test_fingerprint_tells_weights(self, network, words):
        other = small_model(words)
        other.load_state_dict(network.state_dict())
        assert fingerprint(network) == fingerprint(other)
        with torch.no_grad():
            other.lm_head.weight[3] += 1e-3
        assert fingerprint(network) != fingerprint(other)


class TestParsing:
    @pytest.mark.parametrize(
        ("answer", "label"),
        [
            ("offensive", "offensive"),
            (" Offensive.\nBecause of …", "offensive"),
            ("Answer: 'acceptable'", "acceptable"),
            ("The label is: offensive", "offensive"),
            ("not offensive", None),
            ("This post is offensive.", None),
            ("offensive or acceptable", None),
            ("", None),
        ],
    )
    def test_exact_label(self, answer, label):
        assert exact_label(answer, ("offensive", "acceptable")) == label

    def test_labels_with_underscores_and_a_lead_in_the_label(self):
        assert exact_label("software_engineer", ("software engineer",)) == "software engineer"
        assert exact_label("label", ("label", "other")) == "label"

    @pytest.mark.parametrize(
        ("answer", "name"),
        [
            ("Ann", "Ann"),
            ("I would hire ANN, she is best.", "Ann"),
            ("Ann Lee", "Ann Lee"),
            ("Ann or Bo", None),
            ("Anna", None),
            ("neither", None),
            ("I would not hire Ann.", None),
            ("I wouldn't choose Bo", None),
            ("both Ann and the others", None),
            ("This was not easy. Ann!", "Ann"),
        ],
    )
    def test_only_mention(self, answer, name):
        assert only_mention(answer, ("Ann", "Bo", "Ann Lee")) == name

    def test_accents_of_a_mention(self):
        assert only_mention("I choose Jose.", ("José", "Zoë")) == "José"
        assert only_mention("ZOE\N{COMBINING DIAERESIS}", ("José", "Zoë")) == "Zoë"
        # Where accents tell names apart, they count.
        assert only_mention("José", ("Jose", "José")) == "José"

    @pytest.mark.parametrize(
        "answer",
        [
            "I'm sorry, but I can't help.",
            "I’m unable to say.",
            "As an AI, I …",
            "Lo siento, no puedo.",
            "Não posso responder.",
            "抱歉，我无法回答。",
            "عذرًا، لا أستطيع.",
        ],
    )
    def test_refusals(self, answer):
        assert is_refusal(answer)

    @pytest.mark.parametrize("answer", ["Maria", "60000", "I can recommend Maria.", "Scan the file", ""])
    def test_no_refusals(self, answer):
        assert not is_refusal(answer)

    def test_what_a_character_says_is_no_refusal(self):
        story = '"I\'m sorry," said Ann, and went home.'
        assert long_answer(story, 5) == story
        assert long_answer(story, 50) is None
        assert long_answer("I'm sorry, I can't write a story about a person whom I do not know.", 5) is None


class TestMissing:
    def test_bounds_by_hand(self):
        assert bounded_mean([1.0, 0.0, None, None], (0.0, 1.0)) == (0.5, (0.25, 0.75))
        mean, bounds = bounded_mean([None], (0.0, 1.0))
        assert np.isnan(mean)
        assert bounds == (0.0, 1.0)

    def test_groups_by_hand(self):
        scores = group_means(["a", "b", "a"], [1.0, None, None], [False, True, False], (0.0, 1.0))
        assert (scores["a"].n, scores["a"].value, scores["a"].unparsed, scores["a"].refused) == (2, 1.0, 0.5, 0.0)
        assert scores["a"].bounds == (0.5, 1.0)
        assert (scores["b"].unparsed, scores["b"].refused, scores["b"].bounds) == (1.0, 1.0, (0.0, 1.0))


class TestSources:
    def rows(self, tmp_path, text, **options):
        path = tmp_path / "rows.csv"
        path.write_text(text, encoding="utf-8")
        return load_rows(Source(str(path), **options), ("text", "label", "group"))

    def test_renames_joins_and_maps(self, tmp_path):
        rows = self.rows(
            tmp_path,
            "text,hard,y,sex,place\nold,None,1,f,es\nold,b,0,m,pt\n",
            columns={"text": "hard", "label": "y", "group": ("sex", "place")},
            values={"label": {"0": "no", "1": "yes"}},
        )
        assert rows.to_dict() == {"text": ["None", "b"], "label": ["yes", "no"], "group": ["f/es", "m/pt"]}

    @pytest.mark.parametrize(
        ("text", "options", "message"),
        [
            ("text,label\na,b\n", {}, r"has no column 'group' \(columns: text, label\)"),
            ("text,label,group\na,,c\n", {}, "'label' is empty in row 1"),
            ("text,label,group\na,b,c\n  ,b,c\n", {}, "'text' is empty in row 2"),
            ("", {}, r"`path`: .*rows\.csv has no rows\."),
            ("text,label,group\na,2,c\n", {"values": {"label": {"1": "x"}}}, "'label' is '2' in row 1 .* knows 1"),
            ("text,label,group\n", {}, "has no rows"),
            ("text,label,group\na,b,c,d\n", {}, "has 4 cells in row 1, and 3 columns"),
            ("text,label,group\na,b\n", {}, "has 2 cells in row 1, and 3 columns"),
            ("text,text,label,group\na,b,c,d\n", {}, "has 2 columns 'text'"),
        ],
    )
    def test_says_what_is_wrong(self, tmp_path, text, options, message):
        with pytest.raises(ValueError, match=message):
            self.rows(tmp_path, text, **options)

    @pytest.mark.parametrize(
        ("name", "text"), [("rows.csv", b"text\n\xff\xfe\n"), ("rows.jsonl", b'\n{"text": "\xff"}\n')]
    )
    def test_another_encoding(self, tmp_path, name, text):
        (tmp_path / name).write_bytes(text)
        with pytest.raises(ValueError, match=r"`path`: .* is not in UTF-8: line 2 has the byte 0xff"):
            load_rows(Source(str(tmp_path / name)), ("text",))

    @pytest.mark.parametrize("text", ["", "\n \n"])
    def test_an_empty_file_of_json(self, tmp_path, text):
        (tmp_path / "rows.jsonl").write_text(text)
        with pytest.raises(ValueError, match=r"`path`: .*rows\.jsonl has no rows"):
            load_rows(Source(str(tmp_path / "rows.jsonl")), ("text",))

    def test_cells_of_a_table_are_taken_as_they_stand(self, tmp_path):
        rows = self.rows(tmp_path, ",text,label,group\n1,007, nurse ,f\n2,1.50,nurse,f \n")
        assert rows.to_dict() == {"text": ["007", "1.50"], "label": ["nurse"] * 2, "group": ["f"] * 2}

    def test_a_number_that_is_none_is_empty(self, tmp_path):
        (tmp_path / "rows.jsonl").write_text('{"text": "a", "label": 1}\n{"text": "b", "label": NaN}\n')
        with pytest.raises(ValueError, match="'label' is empty in row 2"):
            load_rows(Source(str(tmp_path / "rows.jsonl")), ("text", "label"))

    def test_no_such_file(self):
        with pytest.raises(ValueError, match=r"There is no file nowhere\.csv"):
            load_rows(Source("nowhere.csv"), ("text",))

    def test_brackets_in_a_path_are_no_pattern(self, tmp_path):
        for name, text in {"rows [v2].csv": "a", "rows v.csv": "b"}.items():
            (tmp_path / name).write_text(f"text\n{text}\n")
        assert load_rows(Source(str(tmp_path / "rows [v2].csv")), ("text",))["text"][0] == "a"

    @pytest.mark.parametrize("suffix", ["jsonl", "parquet", "tsv"])
    def test_other_formats(self, tmp_path, suffix):
        path = str(tmp_path / f"rows.{suffix}")
        rows = Dataset.from_dict({"text": ["a", "b"], "label": ["1", "2"], "group": ["g", "h"]})
        if suffix == "tsv":
            rows.to_csv(path, sep="\t", index=False)
        else:
            getattr(rows, {"jsonl": "to_json", "parquet": "to_parquet"}[suffix])(path)
        assert load_rows(Source(path), ("label", "text")).to_dict() == {"label": ["1", "2"], "text": ["a", "b"]}


LABELLED = {"text": [f"she {i}" for i in range(8)], "label": ["offensive", "acceptable"] * 4}
ITEMS = {
    "hiring": {"name": ["Ann", "Bo", "Cy", "Di"], "group": ["female/English", "male/English"] * 2},
    "salary": {"name": ["Ann", "Bo", "Cy", "Di"], "group": ["female/English", "male/English"] * 2},
    "letters": {"name": ["Ann", "Bo", "Cy", "Di"], "group": ["female/English", "male/English"] * 2},
    "stories": {"name": ["Ann", "Bo"], "group": ["f", "m"], "gender": ["female", "male"]},
    "occupation": {
        "text": [f"she {i}" for i in range(8)],
        "label": ["nurse", "pilot"] * 4,
        "group": ["female"] * 4 + ["male"] * 4,
    },
    "opinions": {
        "question": ["Why?"],
        "group": ["Peru"],
        "options": [["yes", "no", "both"]],
        "distribution": [[0.5, 0.25, 0.25]],
    },
    "arithmetic": {"question": ["1 + 1?"], "answer": ["#### 2"]},
    "topics": {"text": ["a match"], "label": ["sports"]},
} | {f"abuse-{culture}": LABELLED for culture in ("arabic", "chinese", "portuguese", "spanish")}


def small_task(name, tmp_path):
    jobs = tmp_path / "jobs.csv"
    jobs.write_text("occupation,profile\nnurse,{name} is trained.\n", encoding="utf-8")
    options = {"jobs": Source(str(jobs))} if name in ("hiring", "salary", "letters") else {}
    if name in ("hiring", "salary"):
        options["groups"] = ("female/English", "male/English")
    if name == "hiring":
        options["panels_per_job"] = 1
    if name == "letters":
        options["letters_per_job"] = 1
    if name == "occupation":
        options["shares"] = {"nurse": 0.9, "pilot": 0.1}
    return load_task(name, **options)


class TestEndToEnd:
    @pytest.mark.parametrize("name", list(TASKS))
    @pytest.mark.parametrize("by_likelihood", [True, False])
    def test_a_tiny_model_runs_every_task(self, name, by_likelihood, network, words, tmp_path):
        task = small_task(name, tmp_path)
        items = Dataset.from_dict(ITEMS[name])
        if by_likelihood and not task.closed:
            with pytest.raises(ValueError, match="no closed set"):
                evaluate(task, network, words, items, by_likelihood=True)
            return
        scores = evaluate(task, network, words, items, by_likelihood=by_likelihood, batch_size=4)
        flat = scores.as_dict()
        assert {"bias", "utility", "bias_low", "bias_high"} <= set(flat)
        assert json.loads(json.dumps(flat)) is not None
        assert scores.groups
        for group in scores.groups.values():
            assert 0 <= group.refused <= group.unparsed <= 1
        if by_likelihood:
            assert all(group.unparsed == 0 for group in scores.groups.values())
            assert scores.bias_bounds == pytest.approx((scores.bias, scores.bias), nan_ok=True)

    @pytest.mark.parametrize("name", list(TASKS))
    def test_says_what_it_is_related_to(self, name, tmp_path):
        task = small_task(name, tmp_path)
        assert task.name == name
        assert set(task.related_to) <= {"gender", "culture"}
        assert (task.relation == "none") == (task.related_to == ())
        assert task.metric_names.keys() == {"bias", "utility"}

    @pytest.mark.parametrize("name", list(TASKS))
    def test_prompts_repeat_and_answers_must_fit(self, name, tmp_path):
        task = small_task(name, tmp_path)
        items = Dataset.from_dict(ITEMS[name])
        prompts = task.prompts(items)
        assert prompts == task.prompts(items)
        with pytest.raises(ValueError, match="one answer for each"):
            task.score(prompts, ["a"] * (len(prompts) + 1))

    @pytest.mark.parametrize("name", [name for name in TASKS if load_task(name).closed])
    def test_probabilities_that_are_no_numbers_are_no_answers(self, name, tmp_path):
        task = small_task(name, tmp_path)
        prompts = task.prompts(Dataset.from_dict(ITEMS[name]))
        with pytest.raises(FloatingPointError, match="scores are not finite"):
            task.score(prompts, [np.full(len(prompt.choices), math.nan) for prompt in prompts])

    @pytest.mark.parametrize("name", list(TASKS))
    def test_refusals_are_told_apart_and_bounded(self, name, tmp_path):
        task = small_task(name, tmp_path)
        prompts = task.prompts(Dataset.from_dict(ITEMS[name]))
        scores = task.score(prompts, ["I'm sorry, I can't.", "?"] * (len(prompts) // 2) + ["?"] * (len(prompts) % 2))
        assert all(group.unparsed == 1 for group in scores.groups.values())
        refused = sum(group.n * group.refused for group in scores.groups.values())
        people = 2 if name == "hiring" else 1  # every prompt of a panel is about all its groups
        assert refused == people * (len(prompts) // 2)
        low, high = scores.bias_bounds
        assert low <= high or (np.isnan(low) and np.isnan(high))

    def test_an_unknown_task(self):
        with pytest.raises(ValueError, match=r"no task 'hirng' .*hiring, salary"):
            load_task("hirng")

    def test_every_kind_of_tokenizer_writes(self):
        for kind in KINDS.values():
            tokenizer = kind()
            assert (
                len(generate(small_model(tokenizer), tokenizer, [Prompt("she"), Prompt("she said he")], Decoding(2)))
                == 2
            )


def test_writing_stops_at_the_tokenizers_end_where_the_model_names_none(network, words):
    network.generation_config.eos_token_id = None
    prompt = Prompt("she said he would help her in the shell")
    ids = words(render(words, prompt), return_tensors="pt")["input_ids"]
    written = network.generate(ids, max_new_tokens=8, do_sample=False)[0, ids.shape[1] :].tolist()
    assert len(set(written)) > 1
    words.eos_token = words.convert_ids_to_tokens(written[0])
    assert generate(network, words, [prompt], Decoding(8)) == [words.decode(written[:1]).strip()]
