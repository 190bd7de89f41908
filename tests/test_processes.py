"""Several processes take the step that one process takes on the same rows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parent / "scripts" / "ddp_gradients.py"


# The first process gets three augmented rows of four, the second one: either alone would compare other means. Of the
# other rows, which later steps see, the first process gets real ones only.
MIXED = [True, True, True, False, False, False, True, False]
PARTED = [False, False, False, False, True, True, True, False]


def run(processes, path, steps, options):
    """Gradients of the last step, and the first log, of steps on eight rows each."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes), "--standalone"]
    command = [*(launch if processes > 1 else [sys.executable]), str(SCRIPT), path, str(8 // processes)]
    done = subprocess.run(
        [*command, str(steps), json.dumps(options)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    logs = json.loads(Path(f"{path}.json").read_text())["log_history"]
    return torch.load(path), [log for log in logs if "loss" in log][:steps]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "steps", "options"),
    [
        (MIXED, 1, {"discrepancy": "mean"}),
        (MIXED, 1, {"discrepancy": "mmd"}),
        (PARTED, 1, {"discrepancy": "energy"}),
        (PARTED, 1, {"discrepancy": "sliced_wasserstein", "detach_real": True}),
        (PARTED, 2, {"discrepancy": "mean", "bank_size": 12, "pooling": "last"}),
        (PARTED, 1, {"discrepancy": "mean", "relative": True, "layer": 1, "detach_real": True}),
    ],
    ids=["mean", "mmd", "energy-parted", "sliced-parted", "bank", "relative"],
)
def test_two_processes_have_the_gradients_of_one(model, tokenizer, dataset, flags, steps, options):
    model.save_pretrained("model")
    tokenizer.save_pretrained("model")
    rows = dataset.select(range(8 * steps)).remove_columns("augmented")
    rows.add_column("augmented", [*flags, *PARTED][: 8 * steps]).save_to_disk("data")
    one, logs_of_one = run(1, "one.pt", steps, {"weight": 0.7, **options})
    two, logs_of_two = run(2, "two.pt", steps, {"weight": 0.7, **options})
    without, _ = run(1, "without.pt", steps, {"weight": 0.0, **options})
    for name, gradient in one.items():
        torch.testing.assert_close(two[name], gradient, rtol=1e-4, atol=1e-7)
    assert any(not torch.allclose(one[name], without[name], rtol=1e-2) for name in one)
    for ours, theirs in zip(logs_of_two, logs_of_one, strict=True):
        alignment = {name: value for name, value in theirs.items() if name.startswith("alignment/")}
        assert {name: ours[name] for name in alignment} == pytest.approx(alignment, rel=1e-5)
