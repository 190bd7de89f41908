"""Accelerate's configuration files, and training under each of them that runs without a GPU."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.scripts import launched_sft

ROOT = Path(__file__).parent.parent
CONFIGURATIONS = sorted((ROOT / "recipes" / "accelerate").glob("*.yaml"))
SCRIPTS = Path(__file__).parent / "scripts"
ALL = {
    "token": True,
    "mask": {"lexicon": "gender", "probability": 0.5},
    "alignment": {"weight": 0.7, "discrepancy": "mean"},
}
deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None or shutil.which("c++") is None,
    reason="DeepSpeed is not installed (make EXTRA=ci), or no C++ compiler, which it needs on a CPU",
)
LAUNCHES = [
    pytest.param("cpu", "NO 1 LlamaForCausalLM", id="cpu"),
    pytest.param("ddp", "MULTI_CPU 2 DistributedDataParallel", id="ddp"),
    pytest.param("fsdp2", "FSDP 2 FSDPLlamaForCausalLM", id="fsdp2"),
    pytest.param("zero2", "DEEPSPEED 2 DeepSpeedEngine", id="zero2", marks=deepspeed),
    pytest.param("zero3", "DEEPSPEED 2 DeepSpeedEngine", id="zero3", marks=deepspeed),
]


def launch(configuration, out, mitigation, precision="no", **arguments):
    """Train in the processes that `accelerate launch` starts, eight rows a step."""
    script = SCRIPTS / ("fsdp_on_cpu.py" if configuration == "fsdp2" else "launched_sft.py")
    file = ROOT / "recipes" / "accelerate" / f"{configuration}.yaml"
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", file, "--main_process_port", "0"]
    rows_per_process = 8 // load_config_from_file(str(file)).num_processes
    done = subprocess.run(
        [
            *command,
            "--mixed_precision",
            precision,
            script,
            out,
            str(rows_per_process),
            *as_json(mitigation, arguments),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr


def train_alone(out, mitigation, **arguments):
    """Train in this process, eight rows a step."""
    launched_sft.main(out, 8, *as_json(mitigation, arguments))


def as_json(*options):
    return [json.dumps(option) for option in options]


def weights(out):
    return dict(AutoModelForCausalLM.from_pretrained(out).named_parameters())


def rows(out):
    """Rows of each step, of all processes in order."""
    parts = [json.loads(path.read_text()) for path in sorted(Path(out).glob("rows-*.json"))]
    return [list(chain(*step)) for step in zip(*parts, strict=True)]


def logs(out):
    return [log for log in json.loads(Path(out, "state.json").read_text())["log_history"] if "loss" in log]


@pytest.fixture
def inputs(model, tokenizer, dataset):
    model.save_pretrained("model")
    tokenizer.save_pretrained("model")
    dataset.save_to_disk("data")


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_accelerate_knows_every_field(path):
    configuration = load_config_from_file(str(path))
    options = vars(launch_command_parser().parse_args(["script.py"]))
    # A field of these two that nobody knows is passed over in silence.
    nested = {**(configuration.fsdp_config or {}), **(configuration.deepspeed_config or {})}
    assert set(nested) <= set(options)
    assert configuration.num_processes >= 1
    assert configuration.mixed_precision in ("no", "bf16")
    assert path.read_text().startswith("# ")


def test_every_kind_of_machine_has_its_file():
    kinds = {path.stem: load_config_from_file(str(path)) for path in CONFIGURATIONS}
    assert {name: kind.distributed_type.value for name, kind in kinds.items()} == {
        "cpu": "NO",
        "ddp": "MULTI_GPU",
        "fsdp2": "FSDP",
        "one_gpu": "NO",
        "zero2": "DEEPSPEED",
        "zero3": "DEEPSPEED",
    }
    assert kinds["cpu"].use_cpu
    assert kinds["fsdp2"].fsdp_config["fsdp_version"] == 2
    assert [kinds[f"zero{stage}"].deepspeed_config["zero_stage"] for stage in (2, 3)] == [2, 3]


@pytest.mark.slow
@pytest.mark.parametrize(("configuration", "kind"), LAUNCHES)
def test_processes_together_train_the_model_that_one_trains(inputs, configuration, kind):
    train_alone("one", ALL)
    train_alone("without", {**ALL, "alignment": {**ALL["alignment"], "weight": 0.0}})
    launch(configuration, "started", ALL)
    assert Path("started/kind.txt").read_text() == kind
    assert rows("started") == rows("one")
    trained, expected, without = weights("started"), weights("one"), weights("without")
    assert len(AutoTokenizer.from_pretrained("started")) == len(expected["model.embed_tokens.weight"])
    for name, weight in expected.items():
        torch.testing.assert_close(trained[name], weight, rtol=1e-4, atol=1e-6)
    assert any(not torch.allclose(trained[name], without[name], rtol=1e-2) for name in trained)
    for ours, theirs in zip(logs("started"), logs("one"), strict=True):
        for name in ("loss", "alignment/mean", "alignment/coverage", "alignment/effective_rank"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4)
    # Each process counts its own rows.
    assert logs("started")[0]["provenance/masked_words"] > 0
    assert logs("started")[0]["provenance/tags"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("configuration", ["fsdp2", pytest.param("zero3", marks=deepspeed)])
def test_a_run_in_bf16_goes_on_from_its_checkpoint(inputs, model, configuration):
    model.resize_token_embeddings(64)  # more than there are tokens, as in many models
    model.save_pretrained("model")
    banked = {**ALL, "alignment": {**ALL["alignment"], "bank_size": 12, "relative": True, "layer": 1}}
    options = {"precision": "bf16", "bf16": True, "optim": "adamw_torch", "learning_rate": 1e-2}
    launch(configuration, "whole", banked, **options, save_strategy="steps", save_steps=2)
    launch(configuration, "resumed", banked, **options, resume_from_checkpoint="whole/checkpoints/checkpoint-2")
    assert rows("resumed") == rows("whole")[2:]
    assert [log["alignment/mean"] for log in logs("resumed")] == [log["alignment/mean"] for log in logs("whole")]
    expected = weights("whole")
    assert len(expected["model.embed_tokens.weight"]) == 64
    for name, weight in weights("resumed").items():
        torch.testing.assert_close(weight, expected[name])
