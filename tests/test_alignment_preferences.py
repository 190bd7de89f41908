"""The alignment loss in preference and reward trainers, and on packed rows: the same as written out by hand."""

import copy

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import LlamaForSequenceClassification
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer

from mitigate.alignment import mean_discrepancy
from mitigate.callbacks import AlignmentLossCallback
from tests.test_alignment import WEIGHT, GradientRecorder, assert_same, pooled

FLAGS = [True, False, True, False]
TRAINERS = {"dpo": (DPOTrainer, DPOConfig), "kto": (KTOTrainer, KTOConfig), "reward": (RewardTrainer, RewardConfig)}


def rows(kind):
    columns = {
        "prompt": ["she cures", "he writes", "the nurse", "the doctor"],
        "chosen": [" he writes well", " she cures", " she writes well today", " he answer"],
        "rejected": [" today", " she", " well", " he"],
        "augmented": FLAGS,
    }
    if kind == "kto":
        columns["completion"], columns["label"] = columns.pop("chosen"), [True, True, False, False]
        columns.pop("rejected")
    return Dataset.from_dict(columns)


def explicit(trainer_class, choose):
    """The trainer, which adds the term by hand: chosen rows come before rejected ones, two sequences a row."""

    class Explicit(trainer_class):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            loss = super().compute_loss(model, dict(inputs), return_outputs, num_items_in_batch)
            given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
            hidden = model(**given, output_hidden_states=True).hidden_states[-1]
            augmented = torch.tensor(FLAGS).repeat(len(hidden) // len(FLAGS))
            sequences = pooled(hidden, inputs[choose])
            return loss + WEIGHT * mean_discrepancy(sequences[~augmented], sequences[augmented])

    return Explicit


def gradients(kind, model, tokenizer, *callbacks, choose=None, lora=False):
    recorder = GradientRecorder()
    settings = {
        "output_dir": "out", "report_to": [], "use_cpu": True, "bf16": False, "max_steps": 1, "save_strategy": "no",
        "per_device_train_batch_size": 4, "disable_tqdm": True, "train_sampling_strategy": "sequential",
        "activation_checkpointing": False, "max_grad_norm": 0, "logging_steps": 1,
    }  # fmt: skip
    trainer_class, config_class = TRAINERS[kind]
    model, options = copy.deepcopy(model), {}
    torch.manual_seed(0)
    if kind == "reward":
        model.config.num_labels = 1
        model = LlamaForSequenceClassification(model.config)
    elif not lora:
        options["ref_model"] = copy.deepcopy(model).double()
    if lora:
        options["peft_config"] = LoraConfig(target_modules=["q_proj"], r=2, init_lora_weights=False)
    trainer = (trainer_class if choose is None else explicit(trainer_class, choose))(
        model.double(),
        args=config_class(**settings),
        train_dataset=rows(kind),
        processing_class=tokenizer,
        callbacks=[*callbacks, recorder],
        **options,
    )
    trainer.train()
    return recorder.gradients, trainer.state.log_history[0]


@pytest.mark.parametrize(
    ("kind", "pooling", "choose", "lora"),
    [
        ("dpo", "mean", "attention_mask", False),
        ("dpo", "mean", "attention_mask", True),
        ("dpo", "answer", "completion_mask", False),
        ("kto", "mean", "attention_mask", False),
        ("kto", "answer", "completion_mask", True),
        ("reward", "mean", "attention_mask", False),
    ],
)
def test_gradients_equal_those_of_an_explicit_term(model, tokenizer, kind, pooling, choose, lora):
    callback = AlignmentLossCallback(WEIGHT, discrepancy="mean", pooling=pooling)
    ours, log = gradients(kind, model, tokenizer, callback, lora=lora)
    assert_same(ours, gradients(kind, model, tokenizer, choose=choose, lora=lora)[0])
    without, _ = gradients(kind, model, tokenizer, lora=lora)
    assert any(not torch.allclose(ours[name], without[name], rtol=1e-2) for name in ours)
    assert log["alignment/coverage"] == 1


@pytest.mark.parametrize("options", [{}, {"pooling": "last"}, {"pooling": "answer"}, {"layer": 1, "relative": True}])
def test_without_padding_the_gradients_are_the_same(model, tokenizer, options):
    data = rows("dpo").remove_columns("rejected").rename_column("chosen", "completion")
    results = []
    for padding_free in (False, True):
        settings = SFTConfig(
            "out", report_to=[], use_cpu=True, bf16=False, max_steps=1, per_device_train_batch_size=4,
            disable_tqdm=True, train_sampling_strategy="sequential", activation_checkpointing=False, max_grad_norm=0,
            shuffle_dataset=False, padding_free=padding_free, max_length=None, save_strategy="no",
        )  # fmt: skip
        recorder = GradientRecorder()
        callback = AlignmentLossCallback(WEIGHT, **options)
        trainer = SFTTrainer(
            copy.deepcopy(model).double(),
            settings,
            train_dataset=data,
            processing_class=tokenizer,
            callbacks=[callback, recorder],
        )
        trainer.train()
        results.append(recorder.gradients)
    assert_same(*results)
