"""One cell in one process and in two: the record that the sweep would write."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from mitigate.cells import Cell
from mitigate.recipes.cell import base_source, make_task, run_cell, training_mix
from mitigate.recipes.config import ConfigError, parse_config
from mitigate.recipes.fitting import fit_cell
from mitigate.recipes.launching import alone, processes
from mitigate.recipes.train import main, parse_cell
from tests.test_suite import SMALL

ROOT = Path(__file__).parents[1]
PLACE = ["--mitigation", "token-paired", "--bias_ratio", "0.5", "--bias_type", "implicit"]


@pytest.fixture
def arguments():
    settings = {**SMALL, "tasks": ["occupation"], "mitigations": ["none", "drop", "token-paired"], "seeds": [0, 1]}
    Path("sweep.yaml").write_text(yaml.safe_dump(settings))
    return ["--config", "sweep.yaml"]


def record():
    (path,) = Path("out/cells").glob("*.json")
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    ("place", "cell"),
    [
        (PLACE, Cell(1.0, "token-paired", 0.5, 0, "implicit")),
        (["--bias_ratio", "0.5", "--mitigation", "drop", "--seed", "1"], Cell(1.0, "drop", 0.5, 1)),
        (["--mitigation", "token-paired", "--bias_type", "implicit"], Cell(0.0, "none", 0.0, 0)),
    ],
    ids=["arm", "without augmented rows", "without bias ratio"],
)
def test_a_cell_is_named_by_its_place_in_the_grid(arguments, place, cell):
    assert parse_cell([*arguments, *place])[1] == cell


@pytest.mark.parametrize(
    "place",
    [
        ["--bias_ratio", "0.25", "--bias_type", "implicit"],
        ["--bias_ratio", "0.5"],
        ["--bias_ratio", "0.5", "--bias_type", "implicit", "--mitigation", "maks"],
        ["--seed", "7"],
    ],
    ids=" ".join,
)
def test_a_place_outside_the_grid_is_refused(arguments, place, capsys):
    assert main([*arguments, *place]) == 2
    told = capsys.readouterr().err
    assert "There is no cell (" in told and "the mitigations none, drop, token-paired" in told
    assert not Path("out").exists()


def test_processes_must_share_the_batch(arguments, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ConfigError, match=r"`batch_size` must be a multiple of 3, the number of processes, .* got 16"):
        parse_cell(arguments)


def test_one_process_does_not_spread_a_cell_over_gpus(arguments, monkeypatch, capsys):
    config, cell = parse_cell(arguments)
    task = make_task(config)
    source, rows = base_source(config, task, 0), training_mix(config, task, cell)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    assert main(arguments) == 2
    assert "This process sees 8 GPUs" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"This process sees 8 GPUs.* Set `CUDA_VISIBLE_DEVICES=0`"):
        fit_cell(config, task, cell, source, rows)
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert parse_cell(arguments)[1] == cell
    with pytest.raises(ConfigError, match=r"`gpus_per_cell` must be at most 1, .* got 2"):
        parse_config([*arguments, "--gpus_per_cell", "2"])


def test_what_runs_alone_knows_nothing_of_the_launch(monkeypatch):
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "ACCELERATE_USE_FSDP": "true"}.items():
        monkeypatch.setenv(name, value)
    assert processes() == 2
    told = alone(subprocess.getoutput, "env")
    assert "PATH=" in told
    assert not any(name in told for name in ("WORLD_SIZE", "RANK=", "ACCELERATE_USE_FSDP"))


def test_a_cell_that_fails_leaves_its_reason_and_one_that_is_done_is_kept(arguments, capsys):
    with pytest.raises(ValueError, match="`max_length`: 32 of 32 rows"):
        main([*arguments, *PLACE, "--max_length", "2"])
    assert record()["status"] == "failed" and "ValueError: `max_length`: 32 of 32 rows" in record()["error"]
    next(Path("out/cells").iterdir()).unlink()
    assert main([*arguments, *PLACE]) == 0
    (path,) = Path("out/cells").iterdir()
    written = path.stat().st_mtime_ns
    capsys.readouterr()
    assert main([*arguments, *PLACE]) == 0
    assert "done already" in capsys.readouterr().out and path.stat().st_mtime_ns == written


def test_its_record_is_that_of_the_sweep(arguments):
    assert main([*arguments, *PLACE]) == 0
    config = parse_config(arguments)
    theirs = run_cell(config, make_task(config), Cell(1.0, "token-paired", 0.5, 0, "implicit"))
    ours = record()
    assert ours["status"] == "done"
    for name in ("cell_id", "cell", "tasks", "rows", "steps", "settings", "versions"):
        assert ours[name] == theirs[name]


@pytest.mark.slow
@pytest.mark.parametrize("lora", ["false", "true"], ids=["full", "lora"])
def test_two_processes_write_the_record_of_one(arguments, lora):
    more = [*arguments, *PLACE, "--lora", lora]
    assert main(more) == 0
    alone_in_one = record()
    Path("out").rename("one")
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--main_process_port",
        "0",
        "--mixed_precision",
        "no",
    ]
    files = ["--config_file", str(ROOT / "recipes/accelerate/ddp.yaml"), str(ROOT / "recipes/train.py")]
    done = subprocess.run([*launch, *files, *more], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    together = record()
    for name in ("cell_id", "rows", "steps", "settings"):
        assert together[name] == alone_in_one[name]
    assert together["tasks"]["occupation"] == pytest.approx(alone_in_one["tasks"]["occupation"], rel=1e-3)
    assert not list(Path("out/trainer").iterdir())
