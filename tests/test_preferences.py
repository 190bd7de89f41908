"""Preference, reward and online trainers of TRL: what the model is given, and what is refused."""

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import LlamaForSequenceClassification
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, KTOConfig, KTOTrainer, RewardConfig, RewardTrainer

from mitigate import BiasTagTokenizer
from mitigate.callbacks import AlignmentLossCallback, MitigationCallback
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


def make(kind, model, tokenizer, *callbacks, rows=None, lora=False, **config):
    model.config.name_or_path = "model"
    model.save_pretrained("model")  # from which the trainer loads its reference
    common = {
        "train_dataset": data(kind) if rows is None else rows,
        "processing_class": tokenizer,
        "callbacks": list(callbacks),
    }
    settings = {**SETTINGS, "activation_checkpointing": False, **config}
    if lora:
        common["peft_config"] = LoraConfig(target_modules=["q_proj"], r=2, init_lora_weights=False)
    if kind == "dpo":
        return DPOTrainer(model if lora else "model", args=DPOConfig(**settings), **common)
    if kind == "kto":
        return KTOTrainer(model if lora else "model", args=KTOConfig(**settings), **common)
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

    def test_without_the_callback_nothing_changes(self, model, tokenizer, kind):
        _, recorder = train(kind, model, tokenizer)
        assert self.given(kind, recorder, tokenizer) == [text for text, _ in sequences(kind)]

    @pytest.mark.parametrize("lora", [False, True])
    def test_sensitive_words_of_augmented_rows_are_masked(self, model, tokenizer, kind, lora):
        _, recorder = train(kind, model, tokenizer, MitigationCallback(mask="gender"), lora=lora)
        expected = [
            " ".join(MASK if augmented and word in ("she", "he") else word for word in text.split())
            for text, augmented in sequences(kind)
        ]
        assert self.given(kind, recorder, tokenizer) == expected
        assert expected != [text for text, _ in sequences(kind)]

    @pytest.mark.parametrize("token", [True, "paired"])
    def test_every_sequence_of_a_row_is_tagged(self, model, tokenizer, kind, token):
        trainer, recorder = train(kind, model, tokenizer, MitigationCallback(token=token))
        real = {True: "", "paired": f"{REAL} "}[token]
        expected = [f"{f'{TAG} ' if augmented else real}{text}" for text, augmented in sequences(kind)]
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


class TestRefusals:
    def test_rows_that_the_reference_judged_beforehand(self, model, tokenizer):
        with pytest.raises(ValueError, match="`precompute_ref_log_probs=True` lets the reference model judge rows"):
            make("dpo", model, tokenizer, MitigationCallback(mask="gender"), precompute_ref_log_probs=True)

    def test_hidden_marks_where_the_column_is_kept(self, model, tokenizer):
        hidden = BiasTagTokenizer.wrap(tokenizer, hidden=True)
        trainer = make("kto", model, hidden, MitigationCallback(mask="gender"), rows=hidden.tag(data("kto")))
        with pytest.raises(ValueError, match=r"`KTOTrainer` has no need of hidden marks, for it keeps the column"):
            trainer.train()

    @pytest.mark.parametrize("callback", [AlignmentLossCallback(), MitigationCallback(mask="gender")])
    def test_online_trainers(self, model, tokenizer, callback):
        settings = GRPOConfig(
            **{**SETTINGS, "num_generations": 2, "max_completion_length": 2}, activation_checkpointing=False
        )
        prompts = Dataset.from_dict({"prompt": PROMPTS, "augmented": FLAGS})
        rewards = [lambda completions, **_: [float(len(text)) for text in completions]]
        trainer = GRPOTrainer(
            model, rewards, args=settings, train_dataset=prompts, processing_class=tokenizer, callbacks=[callback]
        )
        with pytest.raises(ValueError, match="Online trainers write their rows themselves: there, tag the prompts"):
            trainer.train()


def test_prompts_of_an_online_trainer_can_be_tagged(model, tokenizer):
    tagged = BiasTagTokenizer.wrap(tokenizer)
    model.resize_token_embeddings(len(tagged))
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = 2, 0
    prompts = tagged.tag(Dataset.from_dict({"prompt": [f" {prompt}" for prompt in PROMPTS], "augmented": FLAGS}))
    settings = GRPOConfig(
        **{**SETTINGS, "num_generations": 2, "max_completion_length": 2, "per_device_train_batch_size": 8},
        activation_checkpointing=False,
    )
    recorder = Recorder()
    rewards = [lambda completions, **_: [float(len(text)) for text in completions]]
    GRPOTrainer(
        model, rewards, args=settings, train_dataset=prompts, processing_class=tagged, callbacks=[recorder]
    ).train()
    given = {text.split()[0] for batch in recorder.batches for text in tagged.batch_decode(batch["input_ids"])}
    assert TAG in " ".join(given)
