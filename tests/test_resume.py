"""A run that is stopped at a checkpoint and resumed is the run that was never stopped, the alignment loss included."""

import copy
import logging
import shutil
from pathlib import Path

import pytest
import torch
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from mitigate import Lexicon, MaskConfig
from mitigate.callbacks import AlignmentLossCallback, MitigationCallback

OPTIONS = {
    "bank": {"discrepancy": "energy", "bank_size": 4, "bank_warmup_steps": 1, "weight_warmup_steps": 6},
    "relative": {"discrepancy": "sliced_wasserstein", "relative": True, "bank_size": 3},
    "plain": {"discrepancy": "mean"},
}


class StopAfter(TrainerCallback):
    """Stops like a user who interrupts: the planned length of the run stays."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step == self.step


def make(model, tokenizer, dataset, *callbacks, folder="out", **config):
    # Every second step is logged, every third one saved: a checkpoint lies between two logs.
    settings = {
        "output_dir": folder, "report_to": [], "use_cpu": True, "bf16": False, "max_steps": 8, "logging_steps": 2,
        "save_steps": 3, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "learning_rate": 1e-2,
        "disable_tqdm": True, "activation_checkpointing": False, **config,
    }  # fmt: skip
    return SFTTrainer(
        copy.deepcopy(model),
        SFTConfig(**settings),
        train_dataset=dataset,
        processing_class=tokenizer,
        callbacks=list(callbacks),
    )


def history(trainer):
    return [log for log in trainer.state.log_history if "loss" in log]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_resumed_run_is_the_unbroken_one(model, tokenizer, dataset, options):
    unbroken = make(model, tokenizer, dataset, AlignmentLossCallback(0.5, **options))
    unbroken.train()
    make(model, tokenizer, dataset, AlignmentLossCallback(0.5, **options), StopAfter(3), folder="stopped").train()
    shutil.move("stopped", "moved")
    resumed = make(model, tokenizer, dataset, AlignmentLossCallback(0.5, **options), folder="resumed")
    resumed.train(resume_from_checkpoint="moved/checkpoint-3")
    assert len(history(unbroken)) == 4
    assert [log["step"] for log in history(resumed)] == [2, 4, 6, 8]
    for ours, theirs in zip(history(resumed), history(unbroken), strict=True):
        # The trainers' own means forget what came between the checkpoint and the log before it.
        forgotten = {"num_tokens"} | ({"loss", "entropy", "mean_token_accuracy"} if theirs["step"] == 4 else set())
        forgotten |= {name for name in theirs if name.startswith("provenance/")}  # counted by what was collated
        assert "alignment/coverage" in theirs
        assert {name: ours[name] for name in theirs if name not in forgotten} == {
            name: value for name, value in theirs.items() if name not in forgotten
        }
    for one, other in zip(resumed.model.parameters(), unbroken.model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("mode", ["placeholder", "swap"])
def test_random_tags_and_masks_are_drawn_as_if_the_run_had_not_stopped(model, tokenizer, dataset, mode):
    def callback():
        mask = MaskConfig(Lexicon("words", ("she", "he", "writes", "cures")), mode=mode, probability=0.5)
        return MitigationCallback(token=True, tag_dropout=0.5, mask=mask)

    unbroken = make(model, tokenizer, dataset, callback())
    unbroken.train()
    # In the middle of the second epoch.
    make(model, tokenizer, dataset, callback(), StopAfter(6), folder="stopped").train()
    resumed = make(model, tokenizer, dataset, callback(), folder="resumed")
    resumed.train(resume_from_checkpoint="stopped/checkpoint-6")
    other = make(model, tokenizer, dataset, MitigationCallback(token=True))
    other.train()
    for one, same in zip(resumed.model.parameters(), unbroken.model.parameters(), strict=True):
        assert torch.equal(one, same)
    assert not torch.equal(other.model.lm_head.weight, unbroken.model.lm_head.weight)


def test_without_what_was_saved_the_run_is_another(model, tokenizer, dataset):
    callback = AlignmentLossCallback(0.5, **OPTIONS["bank"])
    unbroken = make(model, tokenizer, dataset, callback)
    unbroken.train()
    Path("out/checkpoint-3/alignment.pt").unlink()
    resumed = make(model, tokenizer, dataset, AlignmentLossCallback(0.5, **OPTIONS["bank"]), folder="resumed")
    resumed.train(resume_from_checkpoint="out/checkpoint-3")
    pairs = zip(resumed.model.parameters(), unbroken.model.parameters(), strict=True)
    assert not all(torch.equal(one, other) for one, other in pairs)


def test_the_callback_may_be_part_of_another_and_the_folder_found_by_the_trainer(model, tokenizer, dataset):
    make(model, tokenizer, dataset, MitigationCallback(loss="mean"), StopAfter(3)).train()
    assert Path("out/checkpoint-3/alignment.pt").exists()
    resumed = make(model, tokenizer, dataset, MitigationCallback(loss="mean"))
    resumed.train(resume_from_checkpoint=True)
    unbroken = make(model, tokenizer, dataset, MitigationCallback(loss="mean"), folder="unbroken")
    unbroken.train()
    for one, other in zip(resumed.model.parameters(), unbroken.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_checkpoint_without_it_is_told_of(model, tokenizer, dataset, caplog):
    make(model, tokenizer, dataset, StopAfter(3)).train()
    resumed = make(model, tokenizer, dataset, AlignmentLossCallback(bank_size=4))
    with caplog.at_level(logging.WARNING):
        resumed.train(resume_from_checkpoint=True)
    assert "starts anew, with an empty bank" in caplog.text


def test_nothing_is_saved_where_the_trainer_saves_the_model_only(model, tokenizer, dataset):
    make(model, tokenizer, dataset, AlignmentLossCallback(), StopAfter(3), save_only_model=True).train()
    assert not list(Path("out").rglob("alignment.pt"))
    assert Path("out/checkpoint-3").is_dir()


def test_a_checkpoint_loads_in_plain_transformers(model, tokenizer, dataset):
    trainer = make(model, tokenizer, dataset, AlignmentLossCallback(bank_size=4))
    trainer.train()
    loaded = type(model).from_pretrained("out/checkpoint-8")
    for one, other in zip(loaded.parameters(), trainer.model.parameters(), strict=True):
        assert torch.equal(one, other)
