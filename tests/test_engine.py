"""Who runs the cells of a sweep: processes that may die, GPUs, Ray; and what a dry run tells."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from mitigate.recipes.config import parse_config
from mitigate.recipes.engine.devices import device_of_workers
from mitigate.recipes.engine.local import LocalEngine
from mitigate.recipes.engine.loop import run_cells
from mitigate.recipes.engine.shipping import read_folder, write_folder
from mitigate.recipes.engine.worker import measure_cell
from mitigate.recipes.grid import cell_id, cells_of
from mitigate.recipes.records import records_folder, write_record
from mitigate.recipes.sweep import main
from mitigate.world import World

SCRIPT = Path(__file__).parents[1] / "recipes" / "sweep.py"
# Two cells, at ρ = 0 and 0.5.
SMALL = [
    *("--seeds", "0", "--bias_ratios", "0", "0.5", "--training_rows", "40", "--epochs", "1", "--workers", "1"),
    *("--hidden_size", "16", "--layers", "1", "--base_epochs", "0.05", "--report_to", "none"),
]
# Loading this code kills the process, the first time.
DEADLY = """
import os, signal
from pathlib import Path
from transformers import LlamaForCausalLM

marker = Path({marker!r})
if not marker.exists():
    marker.touch()
    os.kill(os.getpid(), signal.SIGKILL)


class DeadlyForCausalLM(LlamaForCausalLM):
    pass
"""


def records(folder):
    """Records by bias ratio."""
    found = [json.loads(path.read_text()) for path in (folder / "cells").glob("*.json")]
    return {record["cell"]["bias_ratio"]: record for record in found}


@pytest.fixture
def model(tmp_path):
    """Folder of a model for the testbed."""
    special = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "<eos>"}
    words = [*special.values(), *World().vocabulary]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **special)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    ids = {"pad_token_id": 0, "eos_token_id": 2, "bos_token_id": None}
    config = LlamaConfig(vocab_size=len(words), num_key_value_heads=1, **sizes, **ids)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def deadly_model(model, tmp_path, monkeypatch):
    """Folder of a model that kills the process that loads it, once."""
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    (model / "modeling_deadly.py").write_text(DEADLY.format(marker=str(tmp_path / "killed")))
    path = model / "config.json"
    auto_map = {"AutoModelForCausalLM": "modeling_deadly.DeadlyForCausalLM"}
    path.write_text(json.dumps({**json.loads(path.read_text()), "auto_map": auto_map}))
    return model


class TestDevices:
    @pytest.mark.parametrize(
        ("gpus", "visible", "per_device", "expected"),
        [
            (0, None, 1, [None, None]),
            (0, "", 2, [None, None]),
            (2, None, 1, ["0", "1"]),
            (2, None, 2, ["0", "1", "0", "1"]),
            (2, "5, 3", 1, ["5", "3"]),
            (1, "GPU-8a1f,GPU-77c0", 1, ["GPU-8a1f"]),
        ],
    )
    def test_every_worker_sees_one_gpu(self, gpus, visible, per_device, expected):
        assert device_of_workers(gpus, visible, per_device=per_device, workers=None) == expected

    @pytest.mark.parametrize("gpus", [0, 2, 8])
    def test_workers_are_never_more_than_asked_for(self, gpus):
        found = device_of_workers(gpus, None, per_device=2, workers=3)
        assert found == {0: [None] * 3, 2: ["0", "1", "0"], 8: ["0", "1", "2"]}[gpus]

    @given(gpus=st.integers(1, 16), per_device=st.integers(1, 8))
    def test_no_gpu_has_more_workers_than_another(self, gpus, per_device):
        found = device_of_workers(gpus, None, per_device=per_device, workers=None)
        assert sorted(found) == sorted([str(gpu) for gpu in range(gpus)] * per_device)


class TestDryRun:
    @pytest.fixture
    def half_done(self, tmp_path):
        """Command line of a sweep of which two cells of four are done, in an hour each, and one has failed."""
        arguments = [*SMALL, "--seeds", "0", "1", "--output_dir", str(tmp_path / "out")]
        config = parse_config(arguments)
        records_folder(config).mkdir(parents=True)
        done = {"status": "done", "runtime_s": 3600.0, "metrics": {"bias": 0.0, "utility": 1.0}}
        for cell, more in zip(cells_of(config), [done] * 2 + [{"status": "failed"}], strict=False):
            write_record(records_folder(config), {"cell_id": cell_id(config, cell), "cell": cell._asdict(), **more})
        return arguments

    @pytest.mark.parametrize("flag", ["--dry_run", "--dry-run"])
    def test_lists_the_cells_and_writes_nothing(self, flag, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert main([*SMALL, flag, "--output_dir", "out"]) == 0
        printed = capsys.readouterr().out
        assert "2 cells to run, 1 at a time on 1 machine." in printed
        assert "1 base model to train" in printed
        assert (
            "Estimated time and cost: unknown, as no cell of this sweep is done yet. Guess `--seconds_per_cell`"
            in (" ".join(printed.split()))
        )
        assert not list(tmp_path.iterdir())

    def test_of_made_up_rows_leaves_none_behind(self, tmp_path, capsys):
        config = SCRIPT.with_name("gender.yaml")
        assert main(["--config", str(config), "--tiny", "--dry-run", "--output_dir", str(tmp_path / "out")]) == 0
        assert "2 base models to train" in capsys.readouterr().out
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(("workers", "time", "cost"), [("1", "2 h 0 min", "5.00"), ("2", "1 h 0 min", "2.50")])
    def test_estimates_by_the_cells_that_are_done(self, workers, time, cost, half_done, tmp_path, capsys):
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        assert main([*half_done, "--dry_run", "--workers", workers, "--price_per_hour", "2.5"]) == 0
        printed = capsys.readouterr().out
        assert f"Estimated time: {time}," in printed
        assert f"Estimated cost: {cost} (" in printed
        total = next(line for line in printed.splitlines() if "│ all" in line)
        assert [cell.strip() for cell in total.split("│")[3:7]] == ["4", "2", "1", "2"]
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before

    @pytest.mark.parametrize(
        ("price", "cost"),
        [(["--price_per_hour", "2.5"], "5.00 (2.00 machine hours at 2.5)."), ([], "2.00 machine hours; give")],
    )
    def test_before_any_cell_is_done_it_estimates_by_a_guess(self, price, cost, tmp_path, capsys):
        arguments = [*SMALL, "--dry_run", "--seconds_per_cell", "3600", "--output_dir", str(tmp_path / "out")]
        assert main([*arguments, *price]) == 0
        printed = " ".join(capsys.readouterr().out.split())
        assert "Estimated time: 2 h 0 min, if a cell takes 3600 s." in printed
        assert f"Estimated cost: {cost}" in printed

    def test_a_guess_gives_way_to_cells_that_are_done(self, half_done, capsys):
        assert main([*half_done, "--dry_run", "--seconds_per_cell", "1"]) == 0
        assert "Estimated time: 2 h 0 min, by the cells that are done" in capsys.readouterr().out

    def test_a_record_that_cannot_be_read_is_to_be_run_again(self, half_done, tmp_path, capsys):
        for path in (tmp_path / "out" / "cells").glob("*.json"):
            path.write_text(path.read_text()[:-1])
        assert main([*half_done, "--dry_run"]) == 0
        assert "4 cells to run" in capsys.readouterr().out

    def test_refuses_what_the_sweep_would_refuse(self, tmp_path, capsys):
        assert main([*SMALL, "--dry_run", "--training_rows", "0", "--output_dir", str(tmp_path / "out")]) == 2
        assert "`training_rows`" in capsys.readouterr().err


class TestProcesses:
    @pytest.mark.slow
    def test_a_worker_that_dies_costs_its_cell_and_no_other(self, deadly_model, tmp_path, capsys):
        arguments = [*SMALL, "--model", str(deadly_model), "--trust_remote_code", "true"]
        arguments += ["--output_dir", str(tmp_path / "out")]
        assert main(arguments) == 1
        found = records(tmp_path / "out")
        assert {ratio: record["status"] for ratio, record in found.items()} == {0.0: "failed", 0.5: "done"}
        assert "the worker process died" in found[0.0]["error"]
        assert "the worker process died" in capsys.readouterr().err
        assert main(arguments) == 0
        assert records(tmp_path / "out")[0.5] == found[0.5]

    @pytest.mark.slow
    def test_a_base_model_that_cannot_be_trained_fails_its_cells_with_the_reason(self, tmp_path):
        config = parse_config([*SMALL, "--output_dir", str(tmp_path / "out")])
        # The check of this width comes before; here it stands for what no check foresees.
        config = replace(config, model=replace(config.model, hidden_size=50))
        with LocalEngine(config) as engine:
            found = list(run_cells(engine, config, cells_of(config)))
        assert [record["cell"]["bias_ratio"] for record in found] == [0.0, 0.5]
        for record in found:
            assert record["status"] == "failed"
            assert "its base model could not be trained: " in record["error"]
            assert "The hidden size (50) is not a multiple of the number of attention heads" in record["error"]

    @pytest.mark.slow
    @pytest.mark.parametrize(("gpus", "anew"), [(0, False), (1, True)])
    def test_a_failed_cell_leaves_no_process_behind_that_has_used_a_gpu(self, gpus, anew, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        config = parse_config([*SMALL, "--model", str(tmp_path / "nowhere"), "--output_dir", str(tmp_path / "out")])
        workers = []
        with LocalEngine(config) as engine:
            for cell in cells_of(config):
                assert engine.measure_cell(cell).result()["status"] == "failed"
                workers.append({child.pid for child in multiprocessing.active_children()})
        assert bool(workers[1] - workers[0]) == anew

    @pytest.mark.slow
    def test_interrupted_it_ends_at_once_with_a_sentence(self, model, tmp_path):
        command = [sys.executable, str(SCRIPT), *SMALL, "--seeds", *map(str, range(40)), "--model", str(model)]
        # Jobs in the background of a shell ignore Ctrl-C, and what they start would, too.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        sweep = subprocess.Popen(
            [*command, "--output_dir", str(tmp_path / "out")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        signal.signal(signal.SIGINT, before)
        try:
            deadline = time.monotonic() + 200
            while not (tmp_path / "out").exists() or not records(tmp_path / "out"):
                assert sweep.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            workers = psutil.Process(sweep.pid).children(recursive=True)
            os.killpg(sweep.pid, signal.SIGINT)
            _, error = sweep.communicate(timeout=60)
        finally:
            sweep.kill()
        assert sweep.returncode == 130
        assert any(line.startswith("Interrupted.") for line in error.splitlines())
        assert "Traceback" not in error
        psutil.wait_procs(workers, timeout=10)
        assert not any(worker.is_running() for worker in workers)

    def test_a_worker_that_finds_another_file_refuses_the_cell(self, tmp_path):
        words = tmp_path / "words.txt"
        words.write_text("she\n")
        arguments = [*SMALL, "--mitigations", "none", "mask", "--lexicon", str(words)]
        config = parse_config([*arguments, "--output_dir", str(tmp_path / "out")])
        cell = next(cell for cell in cells_of(config) if cell.mitigation == "mask")
        name = cell_id(config, cell)
        words.write_text("she\nhe\n")
        record = measure_cell(config, cell, name)
        assert (record["cell_id"], record["status"]) == (name, "failed")
        assert "does not see the data files" in record["error"]


class TestRay:
    def test_without_ray_nothing_starts(self, monkeypatch, tmp_path, capsys):
        monkeypatch.setitem(sys.modules, "ray", None)
        assert main([*SMALL, "--engine", "ray", "--output_dir", str(tmp_path / "out")]) == 2
        assert "pip install 'mitigate[ray]'" in capsys.readouterr().err
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("machines", "needed", "expected"),
        [
            ([{"CPU": 8.0}], {"CPU": 1.0, "GPU": 0.0}, 8),
            ([{"CPU": 8.0}], {"CPU": 3.0, "GPU": 0.0}, 2),
            ([{"CPU": 8.0, "GPU": 2.0}, {"CPU": 8.0}], {"CPU": 1.0, "GPU": 1.0}, 2),
            ([{"CPU": 8.0, "GPU": 1.0}], {"CPU": 1.0, "GPU": 0.1}, 8),
            ([{"CPU": 64.0, "GPU": 1.0}], {"CPU": 1.0, "GPU": 0.1}, 10),
            ([{"CPU": 1.0}, {"CPU": 1.0}], {"CPU": 2.0, "GPU": 0.0}, 0),
        ],
    )
    def test_cells_at_a_time_are_not_split_between_machines(self, machines, needed, expected):
        ray = pytest.importorskip("mitigate.recipes.engine.ray", reason="needs ray", exc_type=ImportError)
        assert ray.cells_at_a_time(machines, needed) == expected

    def test_a_model_arrives_as_it_was_sent(self, model, tmp_path):
        files = read_folder(model)
        write_folder(tmp_path / "there" / "model", files)
        write_folder(tmp_path / "there" / "model", {})  # it is there
        assert read_folder(tmp_path / "there" / "model") == files
        assert [path.name for path in (tmp_path / "there").iterdir()] == ["model"]

    @pytest.mark.slow
    def test_a_cell_whose_worker_died_is_tried_again(self, deadly_model, tmp_path):
        pytest.importorskip("ray")
        arguments = [*SMALL, "--model", str(deadly_model), "--trust_remote_code", "true", "--engine", "ray"]
        assert main([*arguments, "--output_dir", str(tmp_path / "out")]) == 0
        assert (tmp_path / "killed").exists()
        assert {record["status"] for record in records(tmp_path / "out").values()} == {"done"}

    @pytest.mark.slow
    def test_a_machine_that_is_lost_costs_no_cell(self, model, tmp_path):
        cluster_utils = pytest.importorskip("ray.cluster_utils")
        cluster = cluster_utils.Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
        )
        command = [sys.executable, str(SCRIPT), *SMALL, "--seeds", *map(str, range(4)), "--model", str(model)]
        command += ["--engine", "ray", "--ray_address", cluster.address, "--output_dir", str(tmp_path / "out")]
        try:
            lost, _ = (cluster.add_node(num_cpus=1) for _ in range(2))
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as sweep:
                for line in sweep.stdout:
                    if line.startswith("[1/8]"):
                        break
                cluster.remove_node(lost, allow_graceful=False)
                sweep.stdout.read()
        finally:
            cluster.shutdown()
        assert sweep.returncode == 0
        found = [json.loads(path.read_text())["status"] for path in (tmp_path / "out" / "cells").iterdir()]
        assert found == ["done"] * 8
