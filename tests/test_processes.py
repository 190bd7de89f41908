"""Several processes take the step that one process takes on the same rows."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import make_dataset, make_model, make_tokenizer
from tests.scripts import ddp_gradients

# The first process gets three augmented rows of four, the second one: either alone would compare other means. Of the
# other rows, which later steps see, the first process gets real ones only.
MIXED = [True, True, True, False, False, False, True, False]
PARTED = [False, False, False, False, True, True, True, False]

CASES = {
    "mean": (MIXED, 1, {"discrepancy": "mean"}),
    "mmd": (MIXED, 1, {"discrepancy": "mmd"}),
    "energy-parted": (PARTED, 1, {"discrepancy": "energy"}),
    "sliced-parted": (PARTED, 1, {"discrepancy": "sliced_wasserstein", "detach_real": True}),
    "bank": (PARTED, 2, {"discrepancy": "mean", "bank_size": 12, "pooling": "last"}),
    "relative": (PARTED, 1, {"discrepancy": "mean", "relative": True, "layer": 1, "detach_real": True}),
    "down-weight": (MIXED, 1, {}),
    "down-weight-parted": (PARTED, 1, {}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with what one process gives in every case, two give, and one without the term."""
    folder = tmp_path_factory.mktemp("processes")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        torch.set_num_threads(1)
        torch.manual_seed(0)
        tokenizer = make_tokenizer()
        tokenizer.save_pretrained("model")
        make_model(tokenizer).save_pretrained("model")
        ddp_gradients.main(write_cases("cases", weight=0.7), "one", 1)
        ddp_gradients.main(write_cases("weightless", weight=0.0), "without", 1)
        launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone"]
        command = [*launch, ddp_gradients.__file__, "cases.json", "two", "2"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return folder


def write_cases(name, weight):
    cases = {}
    for case, (flags, steps, options) in CASES.items():
        rows = make_dataset().select(range(8 * steps)).remove_columns("augmented")
        rows.add_column("augmented", [*flags, *PARTED][: 8 * steps]).save_to_disk(f"{name}-{case}")
        cases[case] = {"data": f"{name}-{case}", "steps": steps, "options": {"weight": weight, **options}}
    for folder in ("one", "two", "without"):
        Path(folder).mkdir(exist_ok=True)
    Path(f"{name}.json").write_text(json.dumps(cases))
    return f"{name}.json"


def alignment_logs(path):
    logs = [log for log in json.loads(path.read_text())["log_history"] if "loss" in log]
    return [{name: value for name, value in log.items() if name.startswith("alignment/")} for log in logs]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_processes_have_the_gradients_of_one(folder, case):
    one, two, without = (torch.load(folder / kind / f"{case}.pt") for kind in ("one", "two", "without"))
    for name, gradient in one.items():
        torch.testing.assert_close(two[name], gradient, rtol=1e-4, atol=1e-7)
    assert any(not torch.allclose(one[name], without[name], rtol=1e-2) for name in one)
    steps = CASES[case][1]
    theirs = alignment_logs(folder / "one" / f"{case}.json")[:steps]
    for ours, log in zip(alignment_logs(folder / "two" / f"{case}.json")[:steps], theirs, strict=True):
        assert len(log) >= (0 if case.startswith("down-weight") else 2)
        assert {name: ours[name] for name in log} == pytest.approx(log, rel=1e-5)
