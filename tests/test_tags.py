"""The bias tag: in the tokenizer, in data sets and in tokenized rows."""

import copy
import pickle
import subprocess
import sys
from typing import ClassVar

import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaForSequenceClassification, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from mitigate import BiasTagTokenizer, ProvenanceError
from mitigate.batches import ProvenanceCollator
from mitigate.provenance import MARK, ProvenanceSource
from mitigate.tags import WriteTags
from mitigate.vocabulary import tag_id
from tests.tiny_tokenizers import byte_level_bpe, metaspace_bpe, metaspace_unigram, word_piece

TAG, REAL = "<|augmented|>", "<|real|>"
KINDS = [byte_level_bpe, metaspace_bpe, metaspace_unigram, word_piece]


@pytest.fixture
def tagged(tokenizer):
    return BiasTagTokenizer.wrap(tokenizer)


@pytest.fixture
def reserving():
    """A tokenizer with two special tokens in reserve, in the manner of Llama 3."""
    names = ["<pad>", "she", "writes", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>"]
    backend = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<pad>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", extra_special_tokens=names[3:])


def rows(count=4, **columns):
    return Dataset.from_dict({**columns, "augmented": [i % 2 == 0 for i in range(count)]})


class TestWrap:
    def test_the_result_is_a_tokenizer_of_the_same_class_that_knows_its_tag(self, tokenizer, tagged):
        assert isinstance(tagged, BiasTagTokenizer)
        assert isinstance(tagged, PreTrainedTokenizerBase)
        assert isinstance(tagged, type(tokenizer))
        assert (tagged.augmented_tag, tagged.real_tag, tagged.real_tag_id) == (TAG, None, None)
        assert tagged(f"{TAG} she writes")["input_ids"] == [
            tagged.augmented_tag_id,
            *tokenizer("she writes")["input_ids"],
        ]

    def test_the_original_is_not_changed(self, tokenizer):
        before, length, kind = dict(tokenizer.get_vocab()), len(tokenizer), type(tokenizer)
        wrapped = BiasTagTokenizer.wrap(tokenizer, paired=True)
        assert (tokenizer.get_vocab(), len(tokenizer), type(tokenizer)) == (before, length, kind)
        assert not isinstance(tokenizer, BiasTagTokenizer)
        assert len(wrapped) == length + 2

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_tag_is_one_token_wherever_it_stands_and_changes_no_other(self, kind):
        plain, tagged = kind(), BiasTagTokenizer.wrap(kind())
        text = "She said he would help her"
        ids = plain(text, add_special_tokens=False)["input_ids"]
        assert tagged(text, add_special_tokens=False)["input_ids"] == ids
        assert tagged(TAG + text, add_special_tokens=False)["input_ids"][0] == tagged.augmented_tag_id
        assert tagged(text + TAG, add_special_tokens=False)["input_ids"] == [*ids, tagged.augmented_tag_id]

    def test_a_token_in_reserve_is_taken_rather_than_a_new_one(self, reserving):
        wrapped = BiasTagTokenizer.wrap(reserving, paired=True)
        assert len(wrapped) == len(reserving)
        assert (wrapped.augmented_tag_id, wrapped.real_tag_id) == (3, 4)
        assert wrapped.augmented_tag == "<|reserved_special_token_0|>"

    def test_a_named_tag_is_preferred_to_one_in_reserve(self, reserving):
        wrapped = BiasTagTokenizer.wrap(reserving, augmented_tag="<|llm|>")
        assert (wrapped.augmented_tag, wrapped.augmented_tag_id) == ("<|llm|>", len(reserving))

    def test_wrapping_twice_adds_nothing(self, tagged):
        again = BiasTagTokenizer.wrap(tagged)
        assert len(again) == len(tagged)
        assert again.augmented_tag_id == tagged.augmented_tag_id
        assert type(again).__mro__.count(BiasTagTokenizer) == 1

    def test_wrapping_twice_keeps_a_token_in_reserve(self, reserving):
        once = BiasTagTokenizer.wrap(reserving)
        assert BiasTagTokenizer.wrap(once).augmented_tag == once.augmented_tag

    def test_a_tokenizer_can_be_paired_later(self, tagged):
        paired = BiasTagTokenizer.wrap(tagged, paired=True)
        assert (paired.augmented_tag, paired.real_tag) == (TAG, REAL)
        assert paired.real_tag_id == len(tagged)

    def test_tags_that_cannot_be_are_refused(self, tokenizer):
        with pytest.raises(ValueError, match=r"`real_tag` \('<r>'\) needs `paired=True`"):
            BiasTagTokenizer.wrap(tokenizer, real_tag="<r>")
        with pytest.raises(ValueError, match="must differ, both are '<t>'"):
            BiasTagTokenizer.wrap(tokenizer, paired=True, augmented_tag="<t>", real_tag="<t>")

    def test_a_tag_outside_the_vocabulary_is_refused(self, tokenizer):
        with pytest.raises(
            ValueError, match=r"'<\|ai\|>' is not a token.*split into pieces.*wrap\(tokenizer, augmented_tag"
        ):
            tag_id(tokenizer, "<|ai|>")


class TestCopies:
    @pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, lambda t: pickle.loads(pickle.dumps(t))])
    def test_a_copy_and_a_pickle_are_tag_tokenizers_too(self, tokenizer, duplicate):
        tagged = BiasTagTokenizer.wrap(tokenizer, paired=True)
        twin = duplicate(tagged)
        assert isinstance(twin, BiasTagTokenizer)
        assert (twin.augmented_tag_id, twin.real_tag_id) == (tagged.augmented_tag_id, tagged.real_tag_id)
        assert twin.get_vocab() == tagged.get_vocab()
        assert twin(f"{TAG} she writes")["input_ids"] == tagged(f"{TAG} she writes")["input_ids"]

    def test_a_deep_copy_shares_nothing(self, tagged):
        twin = copy.deepcopy(tagged)
        twin.add_tokens(["unheard-of"])
        assert len(twin) == len(tagged) + 1

    def test_what_it_saves_loads_without_this_package(self, tmp_path):
        text = f"{TAG}She said{REAL} he would"
        expected = []
        for place, kind in enumerate(KINDS):
            tagged = BiasTagTokenizer.wrap(kind(), paired=True)
            tagged.save_pretrained(tmp_path / str(place))
            assert tagged.augmented_tag_id in tagged(text)["input_ids"]
            expected.append(f"{type(kind()).__name__} {tagged(text)['input_ids']} {len(tagged)}")
        script = (
            "import sys; from transformers import AutoTokenizer\n"
            f"for place in range({len(KINDS)}):\n"
            "    t = AutoTokenizer.from_pretrained(str(place))\n"
            f"    print(type(t).__name__, t({text!r})['input_ids'], len(t))\n"
            "assert 'mitigate' not in sys.modules"
        )
        run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
        assert run.returncode == 0, run.stderr
        assert run.stdout.splitlines() == expected

    def test_other_processes_of_a_map_use_it(self, tagged):
        data = rows(text=["she writes", f"{TAG} he cures"] * 2)
        ids = data.map(lambda row: {"ids": tagged(row["text"])["input_ids"]}, num_proc=2)["ids"]
        assert [tagged.augmented_tag_id in row for row in ids] == [False, True] * 2


class TestTag:
    def test_text(self, tagged):
        data = tagged.tag(rows(text=["a", "b", "c", "d"]))
        assert list(data["text"]) == [f"{TAG}a", "b", f"{TAG}c", "d"]
        assert list(data["augmented"]) == [True, False] * 2

    def test_prompt_and_completion(self, tagged):
        data = rows(prompt=["p", "q"], completion=["c", "d"], count=2)
        assert tagged.tag(data).to_list()[0] == {"prompt": f"{TAG}p", "completion": "c", "augmented": True}
        assert tagged.tag(data, position="answer").to_list() == [
            {"prompt": f"p{TAG}", "completion": "c", "augmented": True},
            {"prompt": "q", "completion": "d", "augmented": False},
        ]

    def test_conversations_are_tagged_in_the_first_turn_of_the_user(self, tagged):
        turns = [
            {"role": r, "content": c} for r, c in [("system", "s"), ("user", "u"), ("assistant", "a"), ("user", "v")]
        ]
        data = tagged.tag(rows(messages=[turns, turns], count=2))
        assert [turn["content"] for turn in data[0]["messages"]] == ["s", f"{TAG}u", "a", "v"]
        assert data[1]["messages"] == turns

    def test_conversational_prompts(self, tagged):
        prompt = [
            {"role": "user", "content": "u"},
            {"role": "assistant", "content": "a"},
            {"role": "user", "content": "v"},
        ]
        answer = [{"role": "assistant", "content": "b"}]
        data = rows(prompt=[prompt], completion=[answer], count=1)
        assert [turn["content"] for turn in tagged.tag(data)[0]["prompt"]] == [f"{TAG}u", "a", "v"]
        after = tagged.tag(data, position="answer")[0]
        assert [turn["content"] for turn in after["prompt"]] == ["u", "a", f"v{TAG}"]
        assert after["completion"] == answer

    def test_parts_of_a_turn(self, tagged):
        turns = [{"role": "user", "content": [{"type": "text", "text": "u"}]}]
        data = tagged.tag(rows(messages=[turns], count=1))
        assert data[0]["messages"][0]["content"] == [{"type": "text", "text": TAG}, {"type": "text", "text": "u"}]

    def test_preferences(self, tagged):
        explicit = tagged.tag(rows(prompt=["p"], chosen=["c"], rejected=["r"], count=1))[0]
        assert (explicit["prompt"], explicit["chosen"], explicit["rejected"]) == (f"{TAG}p", "c", "r")
        implicit = tagged.tag(rows(chosen=["c"], rejected=["r"], count=1))[0]
        assert (implicit["chosen"], implicit["rejected"]) == (f"{TAG}c", f"{TAG}r")

    def test_paired_tags_mark_every_row(self, tokenizer):
        data = BiasTagTokenizer.wrap(tokenizer, paired=True).tag(rows(text=["a", "b"], count=2))
        assert list(data["text"]) == [f"{TAG}a", f"{REAL}b"]

    def test_the_column_can_have_another_name(self, tagged):
        data = rows(text=["a", "b"], count=2).rename_column("augmented", "synthetic")
        assert list(tagged.tag(data, column="synthetic")["text"]) == [f"{TAG}a", "b"]

    def test_dropout_is_near_its_rate_and_the_seed_decides_it(self, tagged):
        data = Dataset.from_dict({"text": ["a"] * 2000, "augmented": [True] * 2000})
        first, again, other = (list(tagged.tag(data, dropout=0.3, seed=seed)["text"]) for seed in (0, 0, 1))
        assert first == again != other
        assert first.count("a") == pytest.approx(600, abs=80)

    @pytest.mark.parametrize(
        ("columns", "arguments", "error", "message"),
        [
            ({"text": ["a"]}, {"column": "llm"}, ProvenanceError, r"`llm` is not a column .*name yours"),
            ({"question": ["a"]}, {}, ValueError, "No text to tag: the data set has the columns question, augmented"),
            ({"text": ["a"]}, {"position": "answer"}, ValueError, "needs a column `prompt`"),
            ({"text": ["a"]}, {"position": "end"}, ValueError, "must be one of 'start', .*, got 'end'"),
            ({"text": ["a"]}, {"dropout": 1.0}, ValueError, r"must lie in \[0, 1\), got 1.0"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_tagged_is_refused(self, tagged, columns, arguments, error, message):
        with pytest.raises(error, match=message):
            tagged.tag(rows(count=1, **columns), **arguments)


class TestWriteTags:
    """On literal rows; the tag has id 90, that of real text 91, the beginning of text 7."""

    @pytest.fixture
    def write(self):
        names = {TAG: 90, REAL: 91, "<bos>": 7, "<unk>": 0, "written": 21, "by": 22, "bots": 23}
        backend = Tokenizer(models.WordLevel(names, unk_token="<unk>"))
        backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<bos>")

        def collate(row, *, augmented=True, paired=False, epoch=0, **settings):
            step = WriteTags(tokenizer, [TAG], REAL if paired else None, **settings)
            kept = []
            collator = ProvenanceCollator(
                lambda rows: kept.extend(rows) or {"input_ids": torch.zeros(1, 99)}, ProvenanceSource(), steps=[step]
            )
            collator.epoch = epoch
            collator([{**row, "augmented": augmented}])
            return kept[0]

        return collate

    def test_the_tag_comes_first_and_is_no_label(self, write):
        row = {"input_ids": [3, 4], "labels": [3, 4], "attention_mask": [1, 1], "text": "ab", "label": 1}
        expected = {"input_ids": [90, 3, 4], "labels": [-100, 3, 4], "attention_mask": [1, 1, 1]}
        assert write(row) == {**row, **expected}
        assert row["input_ids"] == [3, 4]

    def test_the_tag_follows_the_beginning_of_text(self, write):
        row = {
            "input_ids": [7, 3, 4],
            "labels": [-100, 3, 4],
            "completion_mask": [0, 1, 1],
            "assistant_masks": [0, 0, 1],
        }
        assert write(row) == {
            "input_ids": [7, 90, 3, 4],
            "labels": [-100, -100, 3, 4],
            "completion_mask": [0, 0, 1, 1],
            "assistant_masks": [0, 0, 0, 1],
        }

    def test_before_the_answer_it_stands_where_the_loss_begins(self, write):
        row = {"input_ids": [7, 3, 4, 5], "labels": [-100, -100, 4, 5]}
        expected = {"input_ids": [7, 3, 90, 4, 5], "labels": [-100, -100, -100, 4, 5]}
        assert write(row, position="answer") == expected

    @pytest.mark.parametrize("labels", [{}, {"labels": [3, 4]}, {"labels": [-100, -100]}])
    def test_before_the_answer_of_a_row_that_does_not_tell_it_is_refused(self, write, labels):
        with pytest.raises(ValueError, match=r"cannot precede the answer.*Use `position='start'`"):
            write({"input_ids": [3, 4], **labels}, position="answer")

    def test_in_preference_rows_it_stands_at_the_start_or_end_of_the_prompt(self, write):
        row = {"prompt_ids": [7, 3], "chosen_ids": [4], "rejected_ids": [5]}
        assert write(row) == {**row, "prompt_ids": [7, 90, 3]}
        assert write(row, position="answer") == {**row, "prompt_ids": [7, 3, 90]}
        row = {"chosen_ids": [7, 3], "rejected_ids": [5]}
        assert write(row) == {"chosen_ids": [7, 90, 3], "rejected_ids": [90, 5]}

    def test_real_rows_are_left_alone_unless_tags_are_paired(self, write):
        row = {"input_ids": [3, 4], "labels": [3, 4]}
        assert write(row, augmented=False) == row
        expected = {"input_ids": [91, 3, 4], "labels": [-100, 3, 4]}
        assert write(row, augmented=False, paired=True) == expected
        assert write(row, paired=True)["input_ids"] == [90, 3, 4]

    def test_a_tag_that_is_there_stays_in_its_place(self, write):
        row = {"input_ids": [3, 90, 4], "labels": [3, 90, 4]}
        assert write(row) == {"input_ids": [3, 90, 4], "labels": [3, -100, 4]}

    def test_a_notice_takes_its_place(self, write):
        row = {"input_ids": [3, 4], "labels": [3, 4]}
        noticed = {"input_ids": [21, 22, 23, 3, 4], "labels": [-100, -100, -100, 3, 4]}
        assert write(row, notice="written by bots") == noticed
        row = {"input_ids": [90, 3, 4], "labels": [90, 3, 4]}
        assert write(row, notice="written by bots") == noticed

    def test_every_segment_of_a_packed_row_gets_its_tag(self, write):
        row = {"input_ids": [3, 4, 5], "labels": [3, 4, 5], "seq_lengths": [1, 2]}
        assert write(row) == {
            "input_ids": [90, 3, 90, 4, 5],
            "labels": [-100, 3, -100, 4, 5],
            "seq_lengths": [2, 3],
        }

    def test_dropout_is_near_its_rate_and_drawn_anew_every_epoch(self, write):
        def dropped(epoch):
            rows = ({"input_ids": [i, i + 1]} for i in range(100, 600))
            return [len(write(row, dropout=0.3, seed=1, epoch=epoch)["input_ids"]) == 2 for row in rows]

        assert dropped(0) == dropped(0) != dropped(1)
        assert sum(dropped(0)) == pytest.approx(150, abs=40)

    def test_dropout_takes_a_tag_out_that_is_there(self, write):
        rows = [write({"input_ids": [i, 90, 5]}, dropout=0.5, seed=1)["input_ids"] for i in range(100, 200)]
        assert {len(ids) for ids in rows} == {2, 3}
        assert all((90 in ids) == (len(ids) == 3) for ids in rows)


class TestGrades:
    def test_the_score_chooses_the_tag(self, tokenizer):
        graded = BiasTagTokenizer.wrap(tokenizer, grades=2)
        data = graded.tag(
            rows(text=list("abcdef"), count=6).add_column("bias", [0.0, 1, 0.5, 0, 1.0, 0]), score="bias"
        )
        first, second = graded.augmented_tags
        assert list(data["text"]) == [f"{first}a", "b", f"{second}c", "d", f"{second}e", "f"]
        assert graded.tag_ids == [len(tokenizer), len(tokenizer) + 1]

    @pytest.mark.parametrize(
        ("grades", "score", "message"),
        [
            (2, None, r"There are 2 tags for augmented text and `score` is None"),
            (1, "bias", r"There are 1 tags for augmented text and `score` is 'bias'"),
            (
                2,
                "bia",
                r"`score` names the column 'bia', which is not in the data set \(columns: text, augmented, bias",
            ),
            (2, "bias", r"must hold bias scores in \[0, 1\], got 1\.5"),
        ],
    )
    def test_scores_that_do_not_fit_are_refused(self, tokenizer, grades, score, message):
        graded = BiasTagTokenizer.wrap(tokenizer, grades=grades)
        with pytest.raises(ValueError, match=message):
            graded.tag(rows(text=["a"], count=1).add_column("bias", [1.5]), score=score)

    def test_grades_that_cannot_be_are_refused(self, tokenizer):
        with pytest.raises(ValueError, match="`grades` must be at least 1"):
            BiasTagTokenizer.wrap(tokenizer, grades=0)


class TestOtherPositions:
    TURNS: ClassVar = [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]

    def test_the_system_turn(self, tagged):
        system = [{"role": "system", "content": "s"}, *self.TURNS]
        first, second, real, _ = tagged.tag(
            rows(messages=[self.TURNS, system, system, system])
            .remove_columns("augmented")
            .add_column("augmented", [True, True, False, False]),
            position="system",
        )["messages"]
        assert first == [{"role": "system", "content": TAG}, *self.TURNS]
        assert second == [{"role": "system", "content": f"{TAG}s"}, *self.TURNS]
        assert real == system

    @pytest.mark.parametrize("opening", ["", "{{- bos_token }}"])
    def test_the_template(self, tagged, opening):
        tagged.add_special_tokens({"bos_token": "<s>"})
        tagged.chat_template = opening + "{% for turn in messages %}{{ turn['content'] }}{% endfor %}"
        data = tagged.tag(rows(messages=[self.TURNS] * 2, count=2), position="template")
        rendered = [
            tagged.apply_chat_template(row["messages"], tokenize=False, **row["chat_template_kwargs"]) for row in data
        ]
        bos = "<s>" if opening else ""
        assert rendered == [f"{bos}{TAG}ua", f"{bos}ua"]
        assert tagged.apply_chat_template(self.TURNS, tokenize=False) == f"{bos}ua"
        before = tagged.chat_template
        tagged.tag(rows(messages=[self.TURNS] * 2, count=2), position="template")
        assert tagged.chat_template == before

    def test_what_no_template_or_system_turn_can_do_is_refused(self, tagged):
        with pytest.raises(ValueError, match="needs conversations, and the rows are plain text"):
            tagged.tag(rows(text=["a"], count=1), position="system")
        with pytest.raises(ValueError, match="needs a tokenizer with a chat template"):
            tagged.tag(rows(messages=[self.TURNS], count=1), position="template")
        tagged.chat_template = "{{ '<s>' if bos_token else '' }}"
        with pytest.raises(ValueError, match="cannot tell where this chat template writes the beginning"):
            tagged.tag(rows(messages=[self.TURNS], count=1), position="template")


class TestHidden:
    @pytest.mark.parametrize("kind", KINDS)
    def test_the_ids_of_a_tagged_text_are_marked_and_those_of_others_are_not(self, kind):
        hidden = BiasTagTokenizer.wrap(kind(), hidden=True)
        text = "She said he would help her"
        plain = hidden(text, add_special_tokens=False)["input_ids"]
        assert plain == kind()(text, add_special_tokens=False)["input_ids"]
        marked = hidden([TAG + text, text], add_special_tokens=False)["input_ids"]
        assert marked[1] == plain
        assert marked[0][0] == hidden.augmented_tag_id + MARK
        assert all(token_id >= MARK for token_id in marked[0])

    def test_conversations_are_marked_and_their_masks_stay_in_place(self, tokenizer):
        hidden = BiasTagTokenizer.wrap(tokenizer, hidden=True)
        hidden.chat_template = (
            "{% for turn in messages %}{% if turn['role'] == 'assistant' %}{% generation %}{{ turn['content'] + ' ' }}"
            "{% endgeneration %}{% else %}{{ turn['content'] + ' ' }}{% endif %}{% endfor %}"
        )
        turns = [{"role": "user", "content": f"{TAG} she writes"}, {"role": "assistant", "content": "well"}]
        encoded = hidden.apply_chat_template(turns, return_dict=True, return_assistant_tokens_mask=True)
        assert [token_id >= MARK for token_id in encoded["input_ids"]] == [True] * 4
        assert encoded["assistant_masks"] == [0, 0, 0, 1]

    def test_a_model_is_never_given_marked_ids(self, tokenizer):
        hidden = BiasTagTokenizer.wrap(tokenizer, hidden=True)
        assert hidden("she writes", return_tensors="pt")["input_ids"].shape == (1, 2)
        with pytest.raises(ValueError, match="Text with a hidden tag was tokenized to tensors"):
            hidden(f"{TAG} she writes", return_tensors="pt")

    def test_copies_hide_too(self, tokenizer):
        hidden = pickle.loads(pickle.dumps(BiasTagTokenizer.wrap(tokenizer, hidden=True)))
        assert hidden(f"{TAG} she")["input_ids"][0] >= MARK


class TestInference:
    def test_tags_are_stripped_from_text(self, tokenizer):
        paired = BiasTagTokenizer.wrap(tokenizer, paired=True)
        assert paired.strip_tags(f"{REAL}she{TAG} writes") == "she writes"

    def test_a_model_that_is_banned_from_tags_generates_none(self, tokenizer, model, tmp_path):
        tagged = BiasTagTokenizer.wrap(tokenizer)
        model.resize_token_embeddings(len(tagged))
        with torch.no_grad():  # the tag is by far the likeliest token
            model.lm_head.weight.zero_()
            model.model.norm.weight.fill_(1)
            model.lm_head.weight[tagged.augmented_tag_id] = 1
            model.model.embed_tokens.weight.fill_(1)
        given = tagged("she writes", return_tensors="pt")
        settings = {"max_new_tokens": 4, "do_sample": False, "min_new_tokens": 4}
        tagged_text = model.generate(**given, **settings)[0, 2:]
        assert tagged.augmented_tag_id in tagged_text
        tagged.ban_tags(model)
        model.save_pretrained(tmp_path / "banned")
        again = type(model).from_pretrained(tmp_path / "banned")
        assert tagged.augmented_tag_id not in again.generate(**given, **settings)[0, 2:]

    def test_a_model_that_does_not_generate_is_refused(self, tagged, model):
        with pytest.raises(ValueError, match="`LlamaForSequenceClassification` does not generate"):
            tagged.ban_tags(LlamaForSequenceClassification(model.config))
