"""Packed and padding-free batches: provenance survives in hidden marks, and the model never sees them."""

import pytest
import torch
from datasets import Dataset

from mitigate import BiasTagTokenizer, ProvenanceError
from mitigate.batches import Edit, apply_edits, merge_edits, read_texts
from mitigate.callbacks import MitigationCallback
from mitigate.provenance import MARK, ProvenanceSource
from tests.test_mitigation_callback import FLAGS, MASK, SENTENCES, TAG, make_trainer, rows, train

STRATEGIES = ["bfd", "bfd_split", "wrapped"]
TEXTS = SENTENCES * 3


@pytest.fixture
def hidden(tokenizer):
    return BiasTagTokenizer.wrap(tokenizer, hidden=True)


def marked(tokenizer, flags=FLAGS):
    plain = rows("text", tokenizer, TEXTS, flags * 3)
    tagged = tokenizer.tag(plain)
    return tagged.map(lambda row: {"text": row["text"].replace(TAG, f"{TAG} ")})


def packed(model, tokenizer, *callbacks, strategy="bfd", data=None, **settings):
    settings = {"packing": True, "packing_strategy": strategy, "max_length": 10, **settings}
    data = marked(tokenizer) if data is None else data
    return train("text", model, tokenizer, *callbacks, data=data, per_device_train_batch_size=32, **settings)


def words(recorder, tokenizer):
    """All words that the model was given, without padding, in alphabetical order."""
    (batch,) = recorder.batches
    ids = batch["input_ids"][batch["attention_mask"].bool()] if "attention_mask" in batch else batch["input_ids"][0]
    return sorted(tokenizer.decode(ids).split())


def expected(mask):
    result = []
    for sentence, augmented in zip(TEXTS, FLAGS * 3, strict=True):
        result += [MASK if mask and augmented and word in ("she", "he") else word for word in sentence.split()]
    return sorted([*result, *["<eos>"] * len(TEXTS)])


@pytest.mark.parametrize("strategy", STRATEGIES)
class TestPacking:
    def test_a_hidden_tag_can_be_shown(self, model, hidden, strategy):
        _, recorder = packed(model, hidden, MitigationCallback(token=True), strategy=strategy)
        given = words(recorder, hidden)
        assert [word for word in given if word != TAG] == expected(mask=False)
        # The rest of a text that was cut apart gets a tag of its own.
        assert given.count(TAG) == (9 if strategy == "wrapped" else 6)

    def test_rows_without_marks_are_refused(self, model, hidden, strategy):
        settings = {"packing": True, "packing_strategy": strategy, "max_length": 10}
        data = rows("text", hidden, TEXTS, FLAGS * 3)
        trainer = make_trainer("text", model, hidden, MitigationCallback(mask="gender"), data=data, **settings)
        with pytest.raises(ValueError, match="No augmented row among the"):
            trainer.train()


class TestPaddingFree:
    @pytest.mark.parametrize("multiple", [None, 16])
    def test_the_column_is_enough(self, model, tokenizer, multiple):
        settings = {"padding_free": True, "max_length": None, "pad_to_multiple_of": multiple}
        callback = MitigationCallback(token=True, mask="gender", loss="mean")
        trainer, recorder = train("text", model, tokenizer, callback, **settings)
        (batch,) = recorder.batches
        assert "attention_mask" not in batch
        text = tokenizer.decode(batch["input_ids"][0])
        assert (text.count(MASK), text.count(TAG)) == (3, 2)
        assert trainer.state.log_history[0]["alignment/mean"] > 0


def test_a_tag_that_may_have_been_cut_off_is_warned_of(model, tokenizer, recwarn):
    tagging = BiasTagTokenizer.wrap(tokenizer)
    ends = {"prompt": ["she", "she stands", "he stands here and here"], "completion": [" here", " here", " here"]}
    for position, cut in (("start", False), ("answer", True)):
        data = tagging.tag(Dataset.from_dict({**ends, "augmented": [True, True, False]}), position=position)
        settings = {"packing": True, "max_length": 5, "per_device_train_batch_size": 4}
        train("prompt", model, tagging, MitigationCallback(mask="gender"), data=data, **settings)
        warned = [str(warning.message) for warning in recwarn if "bear no tag" in str(warning.message)]
        assert len(warned) == cut


def test_an_empty_row_for_evaluation_is_none_of_our_business(model, tokenizer):
    trainer = make_trainer("causal", model, tokenizer, MitigationCallback(mask="gender"))
    assert len(trainer.data_collator([{"input_ids": []}, {"input_ids": [1, 2]}])["input_ids"]) == 2


def test_marks_in_rows_for_evaluation_are_refused(model, hidden):
    data = marked(hidden)
    trainer = make_trainer("text", model, hidden, MitigationCallback(mask="gender"), data=data, evaluation=data)
    with pytest.raises(ProvenanceError, match=r"Rows that are collated without the callback .* bear hidden marks"):
        trainer.evaluate()


class TestTexts:
    SOURCE = ProvenanceSource(marked=True)

    def read(self, row):
        return read_texts(row, self.SOURCE)["input_ids"]

    def test_marks_are_taken_out_of_ids_and_labels(self):
        text = self.read({"input_ids": [MARK + 3, MARK + 4, 5], "labels": [-100, MARK + 4, 5]})
        assert (text.ids, text.aligned["labels"]) == ([3, 4, 5], [-100, 4, 5])
        assert [(segment.stop, segment.augmented) for segment in text.segments] == [(2, True), (3, False)]

    def test_segments_of_a_packed_row_keep_their_lengths(self):
        text = self.read({"input_ids": [MARK + 3, MARK + 4, MARK + 5, 6], "seq_lengths": [1, 2, 1]})
        assert [(segment.stop, segment.augmented) for segment in text.segments] == [(1, True), (3, True), (4, False)]

    def test_edits_move_segments_and_everything_else(self):
        row = {"input_ids": [1, 2, 3, 4, 5], "labels": [-100, 2, 3, 4, 5], "seq_lengths": [2, 3], "augmented": True}
        text = read_texts(row, ProvenanceSource())["input_ids"]
        edits = merge_edits([[Edit(1, 2, ()), Edit(3, 4, (7, 8), in_loss=True)], [Edit(3, 4, (9,)), Edit(2, 2, (6,))]])
        new, moved = apply_edits(text, edits)
        assert new.ids == [1, 6, 3, 7, 8, 5]
        assert new.aligned["labels"] == [-100, -100, 3, 7, 8, 5]
        assert [(segment.start, segment.stop) for segment in new.segments] == [(0, 1), (1, 6)]
        assert [(edit.start, edit.stop) for edit in moved] == [(1, 1), (1, 2), (3, 5)]

    def test_an_edit_at_the_end_belongs_to_the_last_segment(self):
        text = read_texts(
            {"prompt_ids": [1], "chosen_ids": [2], "rejected_ids": [3], "augmented": True}, ProvenanceSource()
        )
        new, _ = apply_edits(text["prompt_ids"], [Edit(1, 1, (9,))])
        assert (new.ids, new.segments[0].stop) == ([1, 9], 2)
        assert not text["chosen_ids"].opens


def test_the_answers_of_a_conversation_alone_are_in_the_loss(model, tokenizer):
    hidden = BiasTagTokenizer.wrap(tokenizer, hidden=True)
    hidden.chat_template = (
        "{% for turn in messages %}{% if turn['role'] == 'assistant' %}{% generation %}{{ turn['content'] + ' ' }}"
        "{% endgeneration %}{% else %}{{ turn['content'] + ' ' }}{% endif %}{% endfor %}"
    )
    turns = [[{"role": "user", "content": "she"}, {"role": "assistant", "content": "he writes"}]] * 4
    data = hidden.tag(Dataset.from_dict({"messages": turns, "augmented": FLAGS}))
    data = data.map(
        lambda row: {"messages": [{**t, "content": t["content"].replace(TAG, f"{TAG} ")} for t in row["messages"]]}
    )
    callback = MitigationCallback(mask="gender", loss="mean")
    _, recorder = packed(model, hidden, callback, data=data, assistant_only_loss=True, max_length=64)
    (batch,) = recorder.batches
    assert hidden.decode(batch["input_ids"][0]).split().count(MASK) == 4
    counted = hidden.decode(batch["labels"][batch["labels"] != -100]).split()
    assert sorted(counted) == ["he"] * 2 + ["writes"] * 4


def test_a_stream_is_packed_too(model, hidden):
    stream = Dataset.from_list(list(marked(hidden))).to_iterable_dataset()
    _, recorder = packed(model, hidden, MitigationCallback(mask="gender"), data=stream)
    assert words(recorder, hidden) == expected(mask=True)
    assert torch.is_tensor(recorder.batches[0]["position_ids"])
