"""The alignment term reaches the trainer's history and every tracker, from a script that knows nothing of it."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mitigate.callbacks import AlignmentLossCallback
from tests.scripts import plain_sft

WRAPPER = """
import sys, plain_sft; from mitigate.callbacks import MitigationCallback
plain_sft.main(*sys.argv[1:], callbacks=[MitigationCallback(loss="mean")])
"""


@pytest.fixture
def saved(model, tokenizer, dataset):
    """Folders of the model and of the rows."""
    model.save_pretrained("model")
    tokenizer.save_pretrained("model")
    dataset.save_to_disk("data")
    return "model", "data"


def history():
    """Logs of the training loss, as the trainer saved them."""
    logs = json.loads(Path("out/trainer_state.json").read_text())["log_history"]
    return [log for log in logs if "loss" in log]


def tracked():
    """History of the only offline run, by W&B's own reader."""
    (run,) = Path("wandb").glob("offline-run-*")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(run)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    items = [record["history"]["item"] for record in map(json.loads, lines) if record["type"] == "history"]
    return [item for item in items if "train/loss" in item]


def test_the_script_by_itself_has_no_such_term(saved):
    plain_sft.main(*saved, "none")
    assert len(history()) == 2
    assert not any("alignment" in name for log in history() for name in log)


def test_with_the_callback_the_term_is_in_the_history_and_in_wandb(saved):
    scripts = {**os.environ, "PYTHONPATH": str(Path(plain_sft.__file__).parent)}
    run = subprocess.run([sys.executable, "-c", WRAPPER, *saved, "wandb"], capture_output=True, text=True, env=scripts)
    assert run.returncode == 0, run.stderr
    assert len(history()) == len(tracked()) == 2
    for ours, theirs in zip(history(), tracked(), strict=True):
        assert ours["step"] == theirs["train/global_step"]
        assert ours["alignment/coverage"] == theirs["train/alignment/coverage"] == 1
        assert 0 < ours["alignment/mean"] == pytest.approx(theirs["train/alignment/mean"], rel=1e-6)


def test_what_is_logged_is_the_unweighted_mean_since_the_last_log(saved):
    terms = []

    def distance(real, augmented):
        terms.append((real.mean(dim=0) - augmented.mean(dim=0)).square().sum())
        return terms[-1]

    plain_sft.main(*saved, "none", callbacks=[AlignmentLossCallback(0.5, discrepancy=distance)])
    assert len(terms) == 4
    pairs = [(terms[0] + terms[1]) / 2, (terms[2] + terms[3]) / 2]
    assert [log["alignment/distance"] for log in history()] == pytest.approx([pair.item() for pair in pairs])


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="TensorBoard is not installed")
def test_with_the_callback_the_term_is_in_tensorboard(saved):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    plain_sft.main(*saved, "tensorboard", callbacks=[AlignmentLossCallback(discrepancy="mean")])
    (events,) = Path().rglob("events.out.tfevents.*")
    reader = EventAccumulator(str(events)).Reload()
    logged = [scalar.value for scalar in reader.Scalars("train/alignment/mean")]
    assert logged == pytest.approx([log["alignment/mean"] for log in history()])
