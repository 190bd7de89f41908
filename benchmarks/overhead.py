"""
Measure what each mitigation adds to a training step and to memory, next to the unchanged trainer.

Run it as `OMP_NUM_THREADS=1 python benchmarks/overhead.py`; it takes about five minutes. On a GPU, `--size large`
trains a model of the shape of Llama 3.1 8B, with random weights, LoRA and bfloat16. Rows have all lengths from a
quarter of the longest on, so that batches are padded; `--equal` makes them all equally long. The trainers of all arms
live in one process and take turns, a few steps each, in an order that changes; a ratio compares two arms of one turn.
Memory is the peak of a process of its own for each arm, the median of several.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from multiprocessing import get_context
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from peft import LoraConfig, get_peft_model
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    PrinterCallback,
    TrainerCallback,
)
from transformers.utils import logging
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


def _texts(length: int, equal: bool) -> list[str]:
    """Texts of up to `length` words, each of which is one token or more: the trainer cuts off what is too much."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghiklmnoprstuw", k=rng.randint(2, 8))) for _ in range(3000)]
    sensitive = load_lexicon("gender").words
    counts = [length if equal else rng.randint(length // 4, length) for _ in range(ROWS * (STEPS + 1))]
    return [
        " ".join(rng.choice(sensitive) if rng.random() < 0.05 else rng.choice(words) for _ in range(count))
        for count in counts
    ]


def _tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=6000, initial_alphabet=alphabet))
    names = {"pad_token": "<pad>", "eos_token": "<eos>", "mask_token": "<mask>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def _model(size: str, tokens: int) -> PreTrainedModel:
    width, inner, layers, heads, key_value, _ = SHAPES[size]
    large = size == "large"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=128_256 if large else tokens + 8,  # room for a tag
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_value,
    )
    with torch.device("cuda" if large else "cpu"):
        model = LlamaForCausalLM._from_config(config, dtype=torch.bfloat16 if large else torch.float32)
        return get_peft_model(model, LoraConfig(target_modules="all-linear", r=16)) if large else model


def _trainers(arms: list[str], size: str, equal: bool, folder: str) -> dict[str, tuple[SFTTrainer, _Clock]]:
    """Make trainers of one model, for a GPU has no room for several of the large ones."""
    disable_progress_bars()
    logging.set_verbosity_error()
    texts = _texts(SHAPES[size][-1], equal)
    tokenizer = _tokenizer(texts)
    model = _model(size, len(tokenizer))
    return {arm: _trainer(arm, model, deepcopy(tokenizer), size, texts, folder) for arm in arms}


def _trainer(
    arm: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, size: str, texts: list[str], folder: str
) -> tuple[SFTTrainer, _Clock]:
    large = size == "large"
    settings = SFTConfig(
        folder, max_steps=STEPS + 1, per_device_train_batch_size=ROWS, max_length=SHAPES[size][-1], report_to=[],
        bf16=large, use_cpu=not large, disable_tqdm=True, save_strategy="no", logging_steps=1000, seed=0,
        activation_checkpointing=large,
    )  # fmt: skip
    rows = Dataset.from_dict({"text": texts, "augmented": [i % 2 == 0 for i in range(len(texts))]})
    clock = _Clock()
    callbacks = [MitigationCallback(**ARMS[arm])] if ARMS[arm] else []
    trainer = SFTTrainer(
        model, settings, train_dataset=rows, processing_class=tokenizer, callbacks=[*callbacks, clock]
    )
    trainer.remove_callback(PrinterCallback)
    return trainer, clock


def _step_times(size: str, equal: bool, rounds: int, folder: str) -> dict[str, list[float]]:
    """Seconds of a step of each arm, in each turn."""
    made = _trainers(list(ARMS), size, equal, folder)
    seconds: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for turn in range(rounds + 1):
        arms = list(ARMS)
        for arm in arms[turn % len(arms) :] + arms[: turn % len(arms)]:
            trainer, clock = made[arm]
            clock.seconds.clear()
            trainer.train()
            if turn:  # the first warms up
                seconds[arm].append(statistics.median(clock.seconds[1:]))
    return seconds


def _peak(arm: str, size: str, equal: bool) -> float:
    """Train one arm, and return the peak memory of this process, or of the GPU, in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        _trainers([arm], size, equal, folder)[arm][0].train()
    if size == "large":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def _peaks(size: str, equal: bool, processes: int) -> dict[str, list[float]]:
    # The server has imported everything and trained nothing, so all its children start with the same memory, and soon.
    # With CUDA a process must not be forked.
    context = get_context("spawn" if size == "large" else "forkserver")
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
        runs = [{arm: pool.submit(_peak, arm, size, equal) for arm in ARMS} for _ in range(processes)]
        return {arm: [run[arm].result() for run in runs] for arm in ARMS}


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f}–{max(values):.3f})"


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SHAPES, help="one size only; by default tiny and medium")
    parser.add_argument("--equal", action="store_true", help="rows of equal length, so that nothing is padded")
    parser.add_argument("--rounds", type=int, default=8, help="turns of each arm")
    parser.add_argument(
        "--processes", type=int, default=3, help="processes in which the memory of each arm is measured"
    )
    given = parser.parse_args()
    sizes = [given.size] if given.size else ["tiny", "medium"]
    # First, while this process has trained nothing that a child could inherit.
    peaks = {size: _peaks(size, given.equal, given.processes) for size in sizes}
    table = Table("model", "mitigation", "step time", "peak memory", title="Ratio to the unchanged trainer")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            seconds = _step_times(size, given.equal, given.rounds, folder)
        unchanged = statistics.median(peaks[size]["none"])
        table.add_row(size, "none", f"{statistics.median(seconds['none']):.3f} s", f"{unchanged:.0f} MiB")
        for arm in list(ARMS)[1:]:
            times = [a / b for a, b in zip(seconds[arm], seconds["none"], strict=True)]
            table.add_row(size, arm, _spread(times), _spread([peak / unchanged for peak in peaks[size][arm]]))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
