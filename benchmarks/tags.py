r"""
What does a tag do in the testbed, and which of its variants earns its name?

    python benchmarks/tags.py --output_dir outputs/tags

For every variant it prints the stereotype-signed TPR gap at one bias ratio, mean and 95% interval over seeds, measured
without a tag, with the tag of real text and with that of augmented text. Besides the variants there are two controls:
no tag at all, and tags on rows drawn at random (`shuffled`), which tell nothing. A tag works if the gap is higher with
the augmented tag than with the real one: then the model has learned to take the bias for a property of tagged text.
"""

from __future__ import annotations

import argparse
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from datasets import Dataset
from rich.console import Console
from rich.table import Table

from mitigate.callbacks import MitigationCallback
from mitigate.mixing import bias_counts, mix
from mitigate.recipes.cell import base_source, prepare_process
from mitigate.recipes.config import parse_config
from mitigate.recipes.models import load_model
from mitigate.recipes.tasks import WorldTask
from mitigate.recipes.training import FitSettings, fit_language_model
from mitigate.scoring import candidate_probabilities
from mitigate.stats import mean_interval


@dataclass(frozen=True)
class Variant:
    """One way to tag, or a control."""

    name: str
    token: bool | Literal["paired"] = False
    position: Literal["start", "answer"] = "start"
    dropout: float = 0.0
    shuffled: bool = False
    epochs: float = 4.0
    rows: int = 600


VARIANTS = (
    Variant("no tag"),
    Variant("augmented tag, start", True),
    Variant("augmented tag, answer", True, "answer"),
    Variant("paired tags, start", "paired"),
    Variant("paired tags, answer", "paired", "answer"),
    Variant("paired tags, answer, 10% dropped", "paired", "answer", 0.1),
    Variant("paired tags, answer, shuffled", "paired", "answer", shuffled=True),
    Variant("no tag, 20 epochs", epochs=20.0),
    Variant("paired tags, answer, 20 epochs", "paired", "answer", epochs=20.0),
    Variant("no tag, 6000 rows", rows=6000),
    Variant("paired tags, answer, 6000 rows", "paired", "answer", rows=6000),
)


def measure(variant: Variant, seed: int, bias_ratio: float, output_dir: str) -> dict[str, float]:
    """Train one model; return its gap without a tag and, if it knows them, with either tag, and its accuracy."""
    prepare_process()
    task = WorldTask()
    config = parse_config(["--output_dir", output_dir])
    model, tokenizer = load_model(base_source(config, task, seed), config.model, None)
    real, augmented = bias_counts(variant.rows, bias_ratio)
    rows = mix(task.real(real, seed=seed), task.augmented(augmented, dose=1.0, seed=seed), seed=seed)
    callbacks = []
    if variant.token:
        tagging = MitigationCallback(
            token=variant.token, tag_position=variant.position, tag_dropout=variant.dropout, column="tagged"
        )
        callbacks.append(tagging)
    rows = rows.add_column("tagged", _tagged(rows, variant.shuffled, seed))
    fit_language_model(
        model,
        tokenizer,
        rows.select_columns(["prompt", "completion", "tagged"]),
        FitSettings(Path(output_dir) / "trainer", seed, variant.epochs, learning_rate=2e-3, batch_size=32),
        callbacks=callbacks,
    )
    tags = {"none": "", "real": "<|real|>", "augmented": "<|augmented|>"}
    test, results = task.test(seed=seed), {}
    for name, tag in tags.items():
        if tag and tag not in tokenizer.get_vocab():
            continue
        prompts = [tag + p if variant.position == "start" else p + tag for p in test["prompt"]]
        scores = task.score(test, candidate_probabilities(model, tokenizer, prompts, list(test["candidates"])))
        results[name] = scores["bias"]
        results[f"{name} accuracy"] = scores["utility"]
    return results


def _tagged(rows: Dataset, shuffled: bool, seed: int) -> list[bool]:
    flags = list(rows["augmented"])
    if shuffled:
        random.Random(seed).shuffle(flags)
    return flags


def main() -> None:
    """Measure all variants and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", default="outputs/tags", help="folder of the base models")
    parser.add_argument("--seeds", type=int, default=8, help="number of seeds")
    parser.add_argument("--bias_ratio", type=float, default=0.6, help="bias ratio of all models")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    arguments = parser.parse_args()
    seeds = range(arguments.seeds)
    table = Table(title=f"Stereotype-signed TPR gap at ρ = {arguments.bias_ratio:g}, β = 1, {arguments.seeds} seeds")
    table.add_column("trained with")
    for heading in ("no tag", "real tag", "augmented tag", "accuracy (no tag)", "accuracy (real tag)"):
        table.add_column(heading, justify="right")
    with ProcessPoolExecutor(arguments.workers, get_context("spawn")) as pool:
        for variant in VARIANTS:
            count = len(seeds)
            results = list(
                pool.map(
                    measure, [variant] * count, seeds, [arguments.bias_ratio] * count, [arguments.output_dir] * count
                )
            )
            columns = ("none", "real", "augmented", "none accuracy", "real accuracy")
            table.add_row(variant.name, *(_cell([r[column] for r in results if column in r]) for column in columns))
            print(f"{variant.name}: done", flush=True)
    Console(width=150).print(table)


def _cell(values: list[float]) -> str:
    if not values:
        return "–"
    interval = mean_interval(values)
    return f"{interval.estimate:.3f} ± {interval.half_width:.3f}"


if __name__ == "__main__":
    main()
