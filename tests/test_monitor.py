"""What the monitor counts and warns of, in real trainers."""

import warnings

import pytest

from mitigate import NoEffectWarning
from mitigate.callbacks import AlignmentLossCallback, MitigationCallback, ProvenanceMonitor
from tests.test_mitigation_callback import FLAGS, SENTENCES, make_trainer, rows, train


def provenance(log):
    return {key.removeprefix("provenance/"): value for key, value in log.items() if key.startswith("provenance/")}


def test_the_logs_tell_what_was_seen_and_done(model, tokenizer):
    callback = MitigationCallback(token=True, mask="gender")
    trainer, _ = train("text", model, tokenizer, callback, max_steps=2, logging_steps=1)
    # Three sensitive words in two augmented rows; 12 tokens of 25 (ends of text included), and two tags.
    expected = {"bias_ratio": 0.5, "augmented_tokens": 14 / 27, "masked_words": 1.5, "tags": 1.0}
    assert [provenance(log) for log in trainer.state.log_history[:2]] == [expected, expected]


@pytest.mark.parametrize("callback", [ProvenanceMonitor(), AlignmentLossCallback(discrepancy="mean")])
def test_a_loss_and_an_unmitigated_run_are_watched_too(model, tokenizer, callback):
    trainer, _ = train("text", model, tokenizer, callback)
    assert provenance(trainer.state.log_history[0]) == {"bias_ratio": 0.5, "augmented_tokens": 12 / 25}


def test_workers_are_counted_together(model, tokenizer):
    settings = {"dataloader_num_workers": 2, "per_device_train_batch_size": 2, "max_steps": 2, "logging_steps": 2}
    trainer, _ = train("text", model, tokenizer, MitigationCallback(mask="gender"), **settings)
    assert provenance(trainer.state.log_history[0])["bias_ratio"] == 0.5
    assert provenance(trainer.state.log_history[0])["masked_words"] == 1.5


def many(tokenizer, flags):
    return rows("causal", tokenizer, [SENTENCES[0]] * len(flags), flags)


def test_rows_that_do_not_come_by_chance_are_warned_of(model, tokenizer):
    data = many(tokenizer, [False] * 300 + [True] * 300)
    with pytest.warns(
        UserWarning, match=r"The bias ratio of the 24\d rows seen so far is 0\.000, and that of .* 0\.500"
    ):
        train("causal", model, tokenizer, ProvenanceMonitor(), data=data, max_steps=60, logging_steps=20)


def test_rows_that_come_by_chance_are_not(model, tokenizer):
    data = many(tokenizer, [False] * 300 + [True] * 300)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        settings = {"max_steps": 60, "logging_steps": 20, "train_sampling_strategy": "random"}
        train("causal", model, tokenizer, ProvenanceMonitor(), data=data, **settings)


def test_a_stream_without_augmented_rows_is_warned_of(model, tokenizer):
    data = many(tokenizer, [False] * 8).to_iterable_dataset()
    with pytest.warns(NoEffectWarning, match="None of the 8 rows seen so far is augmented, so nothing was mitigated"):
        train("causal", model, tokenizer, MitigationCallback(token=True), data=data, max_steps=2)


def test_every_epoch_has_its_own_number(model, tokenizer):
    epochs = []

    class Epochs(ProvenanceMonitor):
        def on_step_begin(self, args, state, control, **kwargs):
            epochs.append(kwargs["train_dataloader"].base_dataloader.collate_fn.epoch)

    train("causal", model, tokenizer, Epochs(), max_steps=3)
    stream = rows("causal", tokenizer).to_iterable_dataset()
    train("causal", model, tokenizer, Epochs(), data=stream, max_steps=3)
    assert epochs == [0, 1, 2] * 2


def test_callbacks_share_one_monitor(model, tokenizer):
    callbacks = [ProvenanceMonitor(), MitigationCallback(mask="gender", loss="mean")]
    trainer = make_trainer("text", model, tokenizer, *callbacks, data=rows("text", tokenizer, flags=FLAGS))
    assert sum(isinstance(callback, ProvenanceMonitor) for callback in trainer.callback_handler.callbacks) == 1
