"""
Measure what each mitigation adds to a training step and to memory, next to the unchanged trainer.

Run it as `python benchmarks/overhead.py`, or with `--size large` on a GPU: a model of the shape of Llama 3.1 8B, with
random weights, LoRA and bfloat16. The trainers of all arms live in one process and take turns, a few steps each, in an
order that changes; a ratio compares two arms of one turn. Memory is the peak of a process of its own for each arm.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import SFTConfig, SFTTrainer

from mitigate import load_lexicon
from mitigate.callbacks import MitigationCallback

ARMS: dict[str, dict[str, Any]] = {
    "none": {},
    "token": {"token": True},
    "mask": {"mask": "gender"},
    "loss": {"loss": "mmd"},
}
# width, width of the MLP, layers, heads, key-value heads, tokens a row
SHAPES = {
    "tiny": (64, 128, 2, 2, 2, 64),
    "medium": (384, 1024, 6, 6, 6, 128),
    "large": (4096, 14336, 32, 32, 8, 1024),
}
STEPS, ROWS = 4, 8


class _Clock(TrainerCallback):
    """Keeps the seconds of each step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._start = _now()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seconds.append(_now() - self._start)


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _texts(length: int) -> list[str]:
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghiklmnoprstuw", k=rng.randint(2, 8))) for _ in range(3000)]
    sensitive = load_lexicon("gender").words
    return [
        " ".join(rng.choice(sensitive) if rng.random() < 0.05 else rng.choice(words) for _ in range(length))
        for _ in range(ROWS * (STEPS + 1))
    ]


def _tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=6000, initial_alphabet=alphabet))
    names = {"pad_token": "<pad>", "eos_token": "<eos>", "mask_token": "<mask>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def _trainer(arm: str, size: str, folder: str) -> tuple[SFTTrainer, _Clock]:
    width, inner, layers, heads, key_value, length = SHAPES[size]
    texts, large = _texts(length), size == "large"
    tokenizer = _tokenizer(texts)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=128_256 if large else len(tokenizer) + 8,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_value,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.device("cuda" if large else "cpu"):
        model = LlamaForCausalLM._from_config(config, dtype=torch.bfloat16 if large else torch.float32)
    settings = SFTConfig(
        folder, max_steps=STEPS + 1, per_device_train_batch_size=ROWS, max_length=length, report_to=[], bf16=large,
        use_cpu=not large, disable_tqdm=True, save_strategy="no", logging_steps=1000, seed=0,
        activation_checkpointing=large,
    )  # fmt: skip
    rows = Dataset.from_dict({"text": texts, "augmented": [i % 2 == 0 for i in range(len(texts))]})
    clock = _Clock()
    callbacks = [MitigationCallback(**ARMS[arm])] if ARMS[arm] else []
    adapter = LoraConfig(target_modules="all-linear", r=16) if large else None
    trainer = SFTTrainer(
        model, settings, train_dataset=rows, processing_class=tokenizer, callbacks=[*callbacks, clock],
        peft_config=adapter,
    )  # fmt: skip
    return trainer, clock


def _step_times(size: str, rounds: int, folder: str) -> dict[str, list[float]]:
    made = {arm: _trainer(arm, size, folder) for arm in ARMS}
    ratios: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for turn in range(rounds + 1):
        seconds = {}
        arms = list(ARMS)
        for arm in arms[turn % len(arms) :] + arms[: turn % len(arms)]:
            trainer, clock = made[arm]
            clock.seconds.clear()
            trainer.train()
            seconds[arm] = statistics.median(clock.seconds[1:])
        if turn:  # the first warms up
            for arm in ARMS:
                ratios[arm].append(seconds[arm] / seconds["none"])
    return ratios


def _peak(arm: str, size: str) -> float:
    """Peak of a process that trains one arm, in bytes."""
    command = [sys.executable, __file__, "--size", size, "--peak-of", arm]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SHAPES, help="one size only; by default tiny and medium")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--peak-of", choices=ARMS, help="train this arm, and print the peak memory in bytes")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.peak_of:
            _trainer(given.peak_of, given.size, folder)[0].train()
            on_gpu = given.size == "large"
            print(torch.cuda.max_memory_allocated() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
            return
        table = Table("model", "mitigation", "step time", "peak memory", title="Ratio to the unchanged trainer")
        for size in [given.size] if given.size else ["tiny", "medium"]:
            peaks = {arm: _peak(arm, size) for arm in ARMS}
            for arm, ratios in _step_times(size, given.rounds, folder).items():
                if arm != "none":
                    spread = f"{statistics.median(ratios):.3f} ({min(ratios):.3f}–{max(ratios):.3f})"
                    table.add_row(size, arm, spread, f"{peaks[arm] / peaks['none']:.3f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
