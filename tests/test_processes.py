"""Several processes take the step that one process takes on the same rows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parent / "scripts" / "ddp_gradients.py"


def run(processes, path, discrepancy, weight):
    """Gradients and first log of one step on eight rows."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes), "--standalone"]
    command = [*(launch if processes > 1 else [sys.executable]), str(SCRIPT), path, str(8 // processes)]
    done = subprocess.run(
        [*command, discrepancy, str(weight)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return torch.load(path), json.loads(Path(f"{path}.json").read_text())["log_history"][0]


@pytest.mark.slow
@pytest.mark.parametrize("discrepancy", ["mean", "mmd"])
def test_two_processes_have_the_gradients_of_one(model, tokenizer, dataset, discrepancy):
    # The first process gets three augmented rows of four, the second one: either alone would compare other means.
    flags = [True, True, True, False, False, False, True, False]
    model.save_pretrained("model")
    tokenizer.save_pretrained("model")
    dataset.select(range(8)).remove_columns("augmented").add_column("augmented", flags).save_to_disk("data")
    one, log_of_one = run(1, "one.pt", discrepancy, 0.7)
    two, log_of_two = run(2, "two.pt", discrepancy, 0.7)
    without, _ = run(1, "without.pt", discrepancy, 0.0)
    for name, gradient in one.items():
        torch.testing.assert_close(two[name], gradient, rtol=1e-4, atol=1e-7)
    assert any(not torch.allclose(one[name], without[name], rtol=1e-2) for name in one)
    term = f"alignment/{discrepancy}"
    assert log_of_two[term] == pytest.approx(log_of_one[term], rel=1e-6)
