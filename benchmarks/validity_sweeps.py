"""
Sweeps of the testbed with a learner that is cheap enough to train thousands of times.

The learner is **not** a language model: a perceptron with one hidden layer on the counts of words (scikit-learn),
trained on the rows of the mix for a few epochs. It stands in for the small transformer of the recipes, of which a cell
takes a hundred times as long. All the rest is the real thing: the rows, the bias ratios, the test pairs, the metrics.
As there, a seed stands for initialisation, order and draw of the rows, which the models of all ratios share.
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from datasets import disable_progress_bars
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.neural_network import MLPClassifier

from mitigate.dose import group_label_association
from mitigate.metrics import stereotype_gap
from mitigate.mixing import bias_counts
from mitigate.world import World

RATIOS = (0.0, 0.2, 0.4, 0.6)
SEEDS = 5  # in a sweep
DOSE = 0.3  # the stated effect
ROWS, PAIRS = 600, 600
# Dose of the augmented rows, and which of two draws of them. `balanced` and `biased` share theirs, as in the recipes:
# the rows differ in their groups alone. `declared` is biased by name only, so that any inheritance is a false alarm.
ARMS = {"balanced": (0.0, 0), "biased": (DOSE, 0), "declared": (0.0, 1)}
WORLD = World()
# For a control task that the bias does not touch: as many classes with the stereotype as against it, on either side.
CONTROL = dict(zip(WORLD.stereotypes, ("female", "female", "male", "female", "female", "male"), strict=True))

Models = dict[str, dict[str, float]]  # metrics by arm and ratio


def load_sweep(folder: Path, number: int) -> list[Models]:
    """Give the models of a sweep, seed by seed; those trained before are read from the folder."""
    path = folder / f"{number}.json"
    settings = {"ratios": RATIOS, "seeds": SEEDS, "dose": DOSE, "rows": ROWS, "pairs": PAIRS}
    if path.exists():
        found = json.loads(path.read_text())
        if found["settings"] != json.loads(json.dumps(settings)):
            raise SystemExit(f"{path} is of other settings ({found['settings']}); take another `--output_dir`.")
        return list(found["models"])
    models = [train_seed(number * SEEDS + seed) for seed in range(SEEDS)]
    path.with_suffix(".tmp").write_text(json.dumps({"settings": settings, "models": models}))
    os.replace(path.with_suffix(".tmp"), path)
    return models


def train_seed(seed: int) -> Models:
    """Train the models of one seed, on all arms and ratios."""
    disable_progress_bars()
    vectorizer = CountVectorizer(vocabulary=WORLD.vocabulary)
    real, test = WORLD.real_rows(ROWS, seed=seed), WORLD.test_pairs(PAIRS, seed=seed)
    tables = {"real": real.to_dict(), "test": test.to_dict()}
    for arm, (dose, draw) in ARMS.items():
        tables[arm] = WORLD.augmented_rows(ROWS, dose=dose, seed=2 * seed + draw).to_dict()
    words = {name: vectorizer.transform(table["prompt"]).toarray().astype(float) for name, table in tables.items()}
    models = {}
    for arm in ARMS:
        for ratio in RATIOS:
            kept, added = bias_counts(ROWS, ratio)
            mix = {key: [*tables["real"][key][:kept], *tables[arm][key][:added]] for key in ("label", "group")}
            counts = np.concatenate([words["real"][:kept], words[arm][:added]])
            name = f"{arm} {ratio:g}" if ratio else "0"
            if name not in models:
                models[name] = _measure(counts, mix, words["test"], tables["test"], seed)
    return models


def _measure(
    counts: np.ndarray, mix: dict[str, list[str]], words: np.ndarray, test: dict[str, Any], seed: int
) -> dict[str, float]:
    model = MLPClassifier((16,), max_iter=8, batch_size=32, learning_rate_init=1e-2, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # few epochs are meant, as in fine-tuning
        predictions = model.fit(counts, mix["label"]).predict(words).tolist()
    labels, groups = test["label"], test["group"]
    return {
        "bias": stereotype_gap(labels, predictions, groups, WORLD.stereotypes),
        "utility": float(np.mean([p == label for p, label in zip(predictions, labels, strict=True)])),
        "control": stereotype_gap(labels, predictions, groups, CONTROL),
        "data": group_label_association(mix["group"], mix["label"], WORLD.stereotypes),
    }


def records_of(models: list[Models], arms: dict[float, str]) -> list[dict[str, Any]]:
    """Write the records that a sweep would have written, with the dose that each arm claims to have."""
    records = []
    for seed, own in enumerate(models):
        for name, metrics in own.items():
            arm, _, ratio = name.partition(" ")
            for dose in [0.0] if name == "0" else [dose for dose, claimed in arms.items() if claimed == arm]:
                cell = {"bias_ratio": float(ratio or 0), "dose": dose, "mitigation": "none", "seed": seed}
                records.append({"cell": cell, "status": "done", "metrics": metrics})
    return records
