"""A small sweep by the user's own command: resumed, killed, failing, and what it leaves behind."""

import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from mitigate.recipes.sweep import main
from mitigate.world import World

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "recipes" / "sweep.py"
# Four cells: two seeds at two bias ratios.
SMALL = [
    *("--seeds", "0", "1", "--bias_ratios", "0", "0.5", "--training_rows", "40", "--epochs", "1"),
    *("--base_epochs", "0.05", "--hidden_size", "16", "--layers", "1"),
]


def command(folder, *more, tracker="none"):
    return [sys.executable, str(SCRIPT), *SMALL, "--output_dir", str(folder), "--report_to", tracker, *more]


def run(folder, *more, tracker="none"):
    return subprocess.run(command(folder, *more, tracker=tracker), capture_output=True, text=True, timeout=300)


def cells(folder):
    """Records by their path, with the time of their writing."""
    paths = sorted((folder / "cells").glob("*.json"))
    return {path: (json.loads(path.read_text()), path.stat().st_mtime_ns) for path in paths}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Folder of a sweep that ran through, with W&B offline."""
    folder = tmp_path_factory.mktemp("undisturbed")
    result = run(folder, tracker="wandb")
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def model_that_cannot_be_masked(tmp_path):
    """Folder of a model whose tokenizer marks no beginnings of words, so that masking fails and all else works."""
    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = ["<pad>", "<unk>", "<eos>", "<mask>"]
    words = World().vocabulary
    backend.train_from_iterator(
        words, trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    )
    names = dict(zip(["pad_token", "unk_token", "eos_token", "mask_token"], special, strict=True))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **names)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_every_cell_has_a_record_that_says_what_gave_it(undisturbed):
    records = {path.stem: record for path, (record, _) in cells(undisturbed).items()}
    places = sorted((r["cell"]["bias_ratio"], r["cell"]["dose"], r["cell"]["seed"]) for r in records.values())
    assert places == [(0.0, 0.0, 0), (0.0, 0.0, 1), (0.5, 1.0, 0), (0.5, 1.0, 1)]
    for name, record in records.items():
        assert record["cell_id"] == name
        assert record["status"] == "done"
        assert record["rows"] == (
            {"real": 20, "augmented": 20} if record["cell"]["bias_ratio"] else {"real": 40, "augmented": 0}
        )
        assert -1 <= record["metrics"]["bias"] <= 1
        assert 0 <= record["metrics"]["utility"] <= 1
        assert record["settings"]["training_rows"] == 40
        assert {"torch", "transformers", "trl", "mitigate", "python"} <= record["versions"].keys()


def test_the_report_is_there_and_needs_nothing_from_outside(undisturbed):
    page = (undisturbed / "report.html").read_text()
    assert "</html>" in page
    links = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)|url\(([^)]*)\)|@import\s+(\S+)""", page)
    assert all(link.startswith(("#", "data:")) for found in links for link in found if link)
    assert "<svg" in page
    assert (undisturbed / "inheritance.svg").is_file()
    with (undisturbed / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["quantity"] for row in rows} >= {"bias", "utility"}


def test_nothing_unfinished_is_left(undisturbed):
    assert not list(undisturbed.rglob("*.tmp"))
    assert not list((undisturbed / "trainer").rglob("*.safetensors"))


def test_wandb_has_one_run_for_every_cell(undisturbed):
    runs = sorted((undisturbed / "wandb").glob("offline-run-*"))
    records = {path.stem: record for path, (record, _) in cells(undisturbed).items()}
    assert len(runs) == len(records)
    for folder in runs:
        arguments = [sys.executable, "-m", "wandb", "leet", "inspect", "--json"]
        lines = subprocess.run(
            [*arguments, str(folder)], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        logged = [json.loads(line) for line in lines]
        (start,) = (entry["run"] for entry in logged if entry["type"] == "run")
        summary = {
            k: v for entry in logged if entry["type"] == "summary" for k, v in entry["summary"]["update"].items()
        }
        record = records.pop(start["run_id"])
        cell, settings = record["cell"], record["settings"]
        assert start["tags"][:2] == ["world", "none"]
        assert re.fullmatch(rf"{undisturbed.name}-[0-9a-f]{{8}}", start["tags"][2])
        assert start["run_group"] == f"world ρ={cell['bias_ratio']:g} β={cell['dose']:g} none"
        config = start["config"]["update"]
        assert {name: config[name] for name in [*cell, *settings]} == {**cell, **settings}
        assert {name: summary[name] for name in record["metrics"]} == record["metrics"]
    assert not records


def test_started_again_it_trains_nothing_and_writes_the_same_bytes(undisturbed, capsys):
    def written():
        return {name: (undisturbed / name).read_bytes() for name in ("table.csv", "report.html", "inheritance.svg")}

    before = cells(undisturbed), written()
    assert main(command(undisturbed, tracker="wandb")[2:]) == 0
    assert "4 cells, 4 of them done" in capsys.readouterr().out
    assert (cells(undisturbed), written()) == before


def test_killed_three_times_and_started_again_it_gives_the_table_of_an_undisturbed_run_bit_for_bit(
    undisturbed, tmp_path
):
    folder, chance = tmp_path / "killed", random.Random(0)
    kept = {}
    # At a random moment of every phase: start-up, base models, cells.
    for sign in ("cells", "models/*", "cells/*.json"):
        sweep = subprocess.Popen(
            command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            deadline = time.monotonic() + 200
            while not list(folder.glob(sign)) and sweep.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(chance.uniform(0, 0.3))
            assert sweep.poll() is None
        finally:
            if sweep.poll() is None:
                os.killpg(sweep.pid, signal.SIGKILL)
            sweep.wait()
        assert sweep.returncode == -signal.SIGKILL
        before, kept = kept, cells(folder)
        assert {path: kept[path] for path in before} == before
    assert 0 < len(kept) < 4
    again = run(folder)
    assert again.returncode == 0, again.stderr
    assert f"4 cells, {len(kept)} of them done" in again.stdout
    after = cells(folder)
    assert {path.name for path in after} == {path.name for path in cells(undisturbed)}
    assert {path: after[path] for path in kept} == kept
    assert (folder / "table.csv").read_bytes() == (undisturbed / "table.csv").read_bytes()


def test_ray_gives_the_same_table_bit_for_bit(undisturbed, tmp_path):
    pytest.importorskip("ray")
    result = run(tmp_path, "--engine", "ray")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "table.csv").read_bytes() == (undisturbed / "table.csv").read_bytes()


def test_a_failing_cell_is_recorded_and_the_others_finish(tmp_path, model_that_cannot_be_masked):
    folder = tmp_path / "failing"
    more = ["--model", str(model_that_cannot_be_masked), "--mitigations", "none", "mask", "--seeds", "0"]
    result = run(folder, *more, "--workers", "1")
    assert result.returncode == 1, result.stderr
    records = {(r["cell"]["mitigation"], r["cell"]["bias_ratio"]): r for r, _ in cells(folder).values()}
    failed = records.pop(("mask", 0.5))
    assert failed["status"] == "failed"
    assert "of a kind that the matcher cannot read" in failed["error"]
    assert failed["error"] in result.stderr.splitlines()[-1]
    assert {place: record["status"] for place, record in records.items()} == dict.fromkeys(
        [("none", 0.0), ("none", 0.5)], "done"
    )
    assert "none,1.0,bias,0.5" in (folder / "table.csv").read_text()


def test_a_changed_setting_uses_no_old_result_and_a_broken_model_is_told_of(undisturbed, tmp_path):
    shutil.copytree(undisturbed / "cells", tmp_path / "out" / "cells")
    before = cells(tmp_path / "out")
    shutil.copytree(next(path.parent for path in undisturbed.rglob("model.safetensors")), tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"damaged")
    result = run(tmp_path / "out", "--model", str(tmp_path / "model"), "--seeds", "0", "--workers", "1")
    assert "2 cells, 0 of them done" in result.stdout
    after = cells(tmp_path / "out")
    assert {path: after.pop(path) for path in before} == before
    assert [record["status"] for record, _ in after.values()] == ["failed"] * 2
    assert result.returncode == 1, result.stderr
    assert result.stderr.count("failed: ") == 2
