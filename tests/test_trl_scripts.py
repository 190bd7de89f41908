"""TRL's own example scripts, as installed, with nothing but a callback added."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import Dataset

from tests.test_mitigation_callback import FLAGS, SENTENCES
from tests.test_preferences import CHOSEN, PROMPTS, REJECTED

WRAPPER = Path(__file__).parent / "scripts" / "trl_script.py"
PAIRS = {"prompt": PROMPTS * 2, "chosen": CHOSEN * 2, "rejected": REJECTED * 2, "augmented": FLAGS * 2}
SCRIPTS = {
    "sft": ("SFTTrainer", {"text": SENTENCES * 2, "augmented": FLAGS * 2}),
    "dpo": ("DPOTrainer", PAIRS),
    "reward": ("RewardTrainer", PAIRS),
    "kto": ("KTOTrainer", {**PAIRS, "completion": CHOSEN * 2, "label": [True, False] * 4}),
}


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_the_script_trains_and_logs_the_mitigation(model, tokenizer, tmp_path, script):
    trainer, columns = SCRIPTS[script]
    if script == "kto":
        columns = {name: values for name, values in columns.items() if name not in ("chosen", "rejected")}
    model.save_pretrained("model")
    tokenizer.save_pretrained("model")
    (tmp_path / "data").mkdir()
    Dataset.from_dict(columns).to_json("data/train.jsonl")
    arguments = [
        *("--model_name_or_path", "model", "--dataset_name", "data", "--output_dir", "out", "--max_steps", "2"),
        *("--logging_steps", "1", "--per_device_train_batch_size", "4", "--report_to", "none", "--use_cpu", "true"),
        *("--bf16", "false", "--save_strategy", "no", "--disable_tqdm", "true"),
    ]
    done = subprocess.run(
        [sys.executable, WRAPPER, trainer, f"trl.scripts.{script}", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    logs = [ast.literal_eval(line) for line in re.findall(r"^\{'loss'.*\}$", done.stdout, re.MULTILINE)]
    assert len(logs) == 2, logs
    # Batches are collated ahead of the step that uses them, so the first log counts the last one too.
    assert float(logs[0]["provenance/masked_words"]) > 0
    assert float(logs[0]["provenance/tags"]) >= 1
    assert all(float(log["alignment/mean"]) > 0 for log in logs if float(log["alignment/coverage"]) > 0)
    assert any(float(log["alignment/coverage"]) > 0 for log in logs)
    assert Path("out/tokenizer.json").exists()
