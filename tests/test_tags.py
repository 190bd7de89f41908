"""The bias tag: in the tokenizer, in data sets and in tokenized rows."""

import copy
import pickle
import subprocess
import sys

import pytest
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from mitigate import BiasTagTokenizer, ProvenanceError
from mitigate.provenance import Segment
from mitigate.tags import InsertTag, tag_id
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

    @pytest.mark.parametrize("kind", KINDS)
    def test_what_it_saves_loads_without_this_package(self, kind, tmp_path):
        tagged = BiasTagTokenizer.wrap(kind(), paired=True)
        text = f"{TAG}She said{REAL} he would"
        tagged.save_pretrained(tmp_path / "saved")
        script = (
            "import sys; from transformers import AutoTokenizer; t = AutoTokenizer.from_pretrained('saved');"
            f"print(type(t).__name__, t({text!r})['input_ids'], len(t)); assert 'mitigate' not in sys.modules"
        )
        run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
        assert run.returncode == 0, run.stderr
        assert run.stdout.strip() == f"{type(kind()).__name__} {tagged(text)['input_ids']} {len(tagged)}"
        assert tagged.augmented_tag_id in tagged(text)["input_ids"]

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
            ({"text": ["a"]}, {"position": "end"}, ValueError, "must be 'start' or 'answer', got 'end'"),
            ({"text": ["a"]}, {"dropout": 1.0}, ValueError, r"must lie in \[0, 1\), got 1.0"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_tagged_is_refused(self, tagged, columns, arguments, error, message):
        with pytest.raises(error, match=message):
            tagged.tag(rows(count=1, **columns), **arguments)


class TestInsertTag:
    """On literal rows; the tag has id 90, that of real text 91, the beginning of text 7."""

    @pytest.fixture
    def insert(self):
        names = {TAG: 90, REAL: 91, "<bos>": 7, "<unk>": 0}
        backend = Tokenizer(models.WordLevel(names, unk_token="<unk>"))
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<bos>")

        def step(row, *, augmented=True, paired=False, segments=None, epoch=0, **settings):
            inserting = InsertTag(tokenizer, TAG, REAL if paired else None, **settings)
            inserting.epoch = epoch
            return inserting(row, segments or [Segment(0, len(row["input_ids"]), augmented)])

        return step

    def test_the_tag_comes_first_and_is_no_label(self, insert):
        row = {"input_ids": [3, 4], "labels": [3, 4], "attention_mask": [1, 1], "text": "ab", "label": 1}
        assert insert(row) == (
            {"input_ids": [90, 3, 4], "labels": [-100, 3, 4], "attention_mask": [1, 1, 1], "text": "ab", "label": 1},
            [Segment(0, 3, True)],
        )
        assert row["input_ids"] == [3, 4]

    def test_the_tag_follows_the_beginning_of_text(self, insert):
        row = {
            "input_ids": [7, 3, 4],
            "labels": [-100, 3, 4],
            "completion_mask": [0, 1, 1],
            "assistant_masks": [0, 0, 1],
        }
        tagged, _ = insert(row)
        assert tagged == {
            "input_ids": [7, 90, 3, 4],
            "labels": [-100, -100, 3, 4],
            "completion_mask": [0, 0, 1, 1],
            "assistant_masks": [0, 0, 0, 1],
        }

    def test_before_the_answer_it_stands_where_the_loss_begins(self, insert):
        row = {"input_ids": [7, 3, 4, 5], "labels": [-100, -100, 4, 5]}
        tagged, _ = insert(row, position="answer")
        assert tagged == {"input_ids": [7, 3, 90, 4, 5], "labels": [-100, -100, -100, 4, 5]}

    @pytest.mark.parametrize("labels", [{}, {"labels": [3, 4]}, {"labels": [-100, -100]}])
    def test_before_the_answer_of_a_row_that_does_not_tell_it_is_refused(self, insert, labels):
        with pytest.raises(ValueError, match=r"cannot precede the answer.*Use `position='start'`"):
            insert({"input_ids": [3, 4], **labels}, position="answer")

    def test_real_rows_are_left_alone_unless_tags_are_paired(self, insert):
        row = {"input_ids": [3, 4], "labels": [3, 4]}
        assert insert(row, augmented=False) == (row, [Segment(0, 2, False)])
        assert insert(row, augmented=False, paired=True)[0] == {"input_ids": [91, 3, 4], "labels": [-100, 3, 4]}
        assert insert(row, paired=True)[0]["input_ids"] == [90, 3, 4]

    def test_rows_that_carry_a_tag_already_are_left_alone(self, insert):
        row = {"input_ids": [3, 90, 4]}
        assert insert(row) == (row, [Segment(0, 3, True)])

    def test_packed_rows_are_left_alone(self, insert):
        row, segments = {"input_ids": [90, 3, 4, 5]}, [Segment(0, 2, True), Segment(2, 4, False)]
        assert insert(row, segments=segments) == (row, segments)

    def test_dropout_is_near_its_rate_and_drawn_anew_every_epoch(self, insert):
        def dropped(epoch):
            rows = ({"input_ids": [i, i + 1]} for i in range(100, 600))
            return [insert(row, dropout=0.3, seed=1, epoch=epoch)[0] is row for row in rows]

        assert dropped(0) == dropped(0) != dropped(1)
        assert sum(dropped(0)) == pytest.approx(150, abs=40)
