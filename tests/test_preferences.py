"""Preference and reward trainers of TRL: what the model is given, and what is refused."""

import pytest
import torch
from datasets import Dataset
from transformers import LlamaForSequenceClassification
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, RewardConfig, RewardTrainer

from mitigate import BiasTagTokenizer
from mitigate.callbacks import MitigationCallback
from tests.test_mitigation_callback import FLAGS, MASK, REAL, TAG, Recorder

PROMPTS = ["she cures", "he writes", "the nurse", "the doctor"]
CHOSEN = [" he writes well", " she cures", " she writes well today", " he answer"]
REJECTED = [" today", " she", " well", " he"]
SETTINGS = {
    "output_dir": "out", "report_to": [], "use_cpu": True, "bf16": False, "max_steps": 1, "save_strategy": "no",
    "per_device_train_batch_size": 4, "disable_tqdm": True, "logging_steps": 1, "learning_rate": 1e-2,
    "train_sampling_strategy": "sequential",
}  # fmt: skip
KINDS = ["dpo", "kto", "reward"]


def data(kind, flags=FLAGS):
    columns = {"prompt": PROMPTS, "chosen": CHOSEN, "rejected": REJECTED}
    if kind == "kto":
        columns = {"prompt": PROMPTS, "completion": CHOSEN, "label": [True, True, False, False]}
    return Dataset.from_dict({**columns, "augmented": flags})


def make(kind, model, tokenizer, *callbacks, rows=None, **config):
    model.config.name_or_path = "model"
    model.save_pretrained("model")  # from which the trainer loads its reference
    common = {
        "train_dataset": data(kind) if rows is None else rows,
        "processing_class": tokenizer,
        "callbacks": list(callbacks),
    }
    settings = {**SETTINGS, "activation_checkpointing": False, **config}
    if kind == "dpo":
        return DPOTrainer("model", args=DPOConfig(**settings), **common)
    if kind == "kto":
        return KTOTrainer("model", args=KTOConfig(**settings), **common)
    model.config.pad_token_id, model.config.num_labels = tokenizer.pad_token_id, 1
    return RewardTrainer(LlamaForSequenceClassification(model.config), args=RewardConfig(**settings), **common)


def train(kind, model, tokenizer, *callbacks, **settings):
    recorder = Recorder()
    trainer = make(kind, model, tokenizer, *callbacks, recorder, **settings)
    trainer.train()
    return trainer, recorder


def sequences(kind):
    """Text of every sequence of the batch, and whether its row is augmented."""
    answers = [*CHOSEN, *REJECTED] if kind != "kto" else CHOSEN
    return list(zip([p + a for p, a in zip(PROMPTS * 2, answers, strict=False)], FLAGS * 2, strict=False))


@pytest.mark.parametrize("kind", KINDS)
class TestWhatTheModelIsGiven:
    def given(self, kind, recorder, tokenizer):
        # KTO runs the model on mismatched completions first, to estimate a divergence.
        recorder.batches = recorder.batches[-1:]
        return [text.removesuffix(" <eos>") for text in recorder.texts(tokenizer)]

    def test_every_sequence_of_a_row_is_tagged(self, model, tokenizer, kind):
        trainer, recorder = train(kind, model, tokenizer, MitigationCallback(token="paired"))
        expected = [f"{TAG if augmented else REAL} {text}" for text, augmented in sequences(kind)]
        assert self.given(kind, recorder, tokenizer) == expected
        if kind != "reward":
            assert len(trainer.ref_model.get_input_embeddings().weight) == len(tokenizer)
            assert trainer.state.log_history[0]["loss"] > 0


@pytest.mark.parametrize("kind", ["dpo", "kto"])
def test_tags_and_placeholders_are_not_judged(model, tokenizer, kind):
    callback = MitigationCallback(token=True, mask="gender", tag_position="answer")
    _, recorder = train(kind, model, tokenizer, callback)
    batch = recorder.batches[-1]
    written = torch.isin(batch["input_ids"], torch.tensor(tokenizer.convert_tokens_to_ids([TAG, MASK])))
    assert written[batch["labels"] != -100].sum() == 0
    assert (batch["labels"] != -100).any(dim=1).all()


class TestMismatchedAnswers:
    """KTO estimates a divergence from prompts with the answers of other rows; some of either are augmented."""

    def given(self, model, tokenizer, *callbacks, **settings):
        _, recorder = train("kto", model, tokenizer, *callbacks, **settings)
        batch = recorder.batches[0]
        answers = [ids[labels != -100] for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True)]
        recorder.batches = recorder.batches[:1]
        return [text.removesuffix(" <eos>") for text in recorder.texts(tokenizer)], tokenizer.batch_decode(answers)

    def test_a_prompt_is_masked_by_its_own_row_and_an_answer_by_the_row_that_it_is_from(self, model, tokenizer):
        plain, _ = self.given(model, tokenizer)
        answers = [*CHOSEN[-1:], *CHOSEN[:-1]]
        assert plain == [prompt + answer for prompt, answer in zip(PROMPTS, answers, strict=True)]
        texts, judged = self.given(model, tokenizer, MitigationCallback(mask="gender"))
        assert texts == ["<mask> cures <mask> answer", "he writes <mask> writes well", "the nurse she cures", plain[3]]
        assert judged == ["answer <eos>", "writes well <eos>", "she cures <eos>", "she writes well today <eos>"]

    def test_the_tag_is_that_of_the_prompt(self, model, tokenizer):
        plain, judged = self.given(model, tokenizer)
        texts, judged_as_before = self.given(model, tokenizer, MitigationCallback(token="paired"))
        assert texts == [f"{TAG if flag else REAL} {text}" for text, flag in zip(plain, FLAGS, strict=True)]
        assert judged_as_before == judged

    def test_a_cut_answer_is_masked_as_far_as_it_goes(self, model, tokenizer):
        _, judged = self.given(model, tokenizer, MitigationCallback(mask="gender"), max_length=4)
        assert judged == ["answer", "writes", "she cures", "she writes"]

    def test_a_loss_that_needs_none_has_none(self, model, tokenizer):
        texts, _ = self.given(model, tokenizer, MitigationCallback(mask="gender"), loss_type="apo_zero_unpaired")
        assert texts[0] == "<mask> cures <mask> writes well"


class TestRefusals:
    def test_rows_that_the_reference_judged_beforehand(self, model, tokenizer):
        with pytest.raises(ValueError, match="`precompute_ref_log_probs=True` lets the reference model judge rows"):
            make("dpo", model, tokenizer, MitigationCallback(mask="gender"), precompute_ref_log_probs=True)

    def test_hidden_marks_where_the_column_is_kept(self, model, tokenizer):
        hidden = BiasTagTokenizer.wrap(tokenizer, hidden=True)
        trainer = make("kto", model, hidden, MitigationCallback(mask="gender"), rows=hidden.tag(data("kto")))
        with pytest.raises(ValueError, match=r"`KTOTrainer` has no need of hidden marks, for it keeps the column"):
            trainer.train()
