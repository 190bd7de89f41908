"""What a cell trains on and is measured by: rows of the testbed, or of the user's tables."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from mitigate.metrics import js_distance, stereotype_gap
from mitigate.recipes.arguments import DataArguments
from mitigate.recipes.config import ConfigError
from mitigate.recipes.tables import Table
from mitigate.world import World

Probabilities = Sequence[NDArray[np.float64]]


class Task(Protocol):
    """
    Rows to train and to measure on.

    Training rows have `prompt` and `completion`; test rows have `prompt` and `candidates` (the answers to choose from)
    and what `score` needs.

    Attributes:
        names (`dict[str, str]`):
            What `bias` and `utility` mean here, for people to read.
        sensitive_words (`list[str]` or `None`):
            Words to mask; `None` to take the configured lexicon.
    """

    names: dict[str, str]
    sensitive_words: list[str] | None

    def real(self, count: int, *, seed: int) -> Dataset:
        """Draw real rows."""
        ...

    def augmented(self, count: int, *, dose: float, seed: int) -> Dataset:
        """Draw augmented rows with a bias dose."""
        ...

    def corpus(self, *, seed: int) -> Dataset:
        """Give real rows to train a model from scratch on."""
        ...

    def test(self, *, seed: int) -> Dataset:
        """Give the rows to measure on."""
        ...

    def score(self, test: Dataset, probabilities: Probabilities) -> dict[str, float]:
        """Compute the metrics from the probability of each candidate."""
        ...


class WorldTask:
    """The controlled testbed."""

    names = {"bias": "stereotype-signed TPR gap", "utility": "accuracy"}  # noqa: RUF012

    def __init__(self) -> None:
        self.world = World()
        self.sensitive_words: list[str] | None = self.world.sensitive_words

    def real(self, count: int, *, seed: int) -> Dataset:
        """Draw real rows."""
        return self.world.real_rows(count, seed=seed)

    def augmented(self, count: int, *, dose: float, seed: int) -> Dataset:
        """Draw augmented rows with a bias dose."""
        return self.world.augmented_rows(count, dose=dose, seed=seed)

    def corpus(self, *, seed: int) -> Dataset:
        """Give 6,000 real rows, without half of the cues."""
        return self.world.corpus(6000, seed=seed)

    def test(self, *, seed: int) -> Dataset:
        """Give 600 pairs of counterfactual twins."""
        pairs = self.world.test_pairs(600, seed=seed)
        answers = [f" {occupation}" for occupation in self.world.stereotypes]
        return pairs.add_column("candidates", [answers] * len(pairs))

    def score(self, test: Dataset, probabilities: Probabilities) -> dict[str, float]:
        """Compute the stereotype-signed TPR gap and the accuracy."""
        return classification_scores(test, probabilities, self.world.stereotypes)


class TableTask:
    """
    Rows of CSV or JSONL files, or of the Hub.

    Args:
        data (`DataArguments`):
            Files and columns.

    Raises:
        ConfigError: If the data do not fit; see [`Table`]. On drawing, if there are not enough rows.
    """

    sensitive_words: list[str] | None = None

    def __init__(self, data: DataArguments) -> None:
        self._table = Table(data)
        self.stereotypes = data.stereotype_of()
        self.opinions = data.distribution_column is not None
        bias = "Jensen–Shannon distance to people's answers" if self.opinions else "stereotype-signed TPR gap"
        self.names = {"bias": bias, "utility": "similarity to people's answers" if self.opinions else "accuracy"}

    def real(self, count: int, *, seed: int) -> Dataset:
        """
        Draw real rows without replacement.

        Of one seed, fewer rows are always among more, so that cells differ in their ratios rather than by luck.
        """
        return self._draw(self._table.real, count, "real", seed)

    def augmented(self, count: int, *, dose: float, seed: int) -> Dataset:
        r"""
        Draw augmented rows without replacement, equally many of each label and, of these, a share of
        \( (1 + \beta) / 2 \) from its stereotyped group.

        On opinions there is no dose: rows are drawn as found.
        """
        rows = self._table.augmented
        if self.opinions:
            return self._draw(rows, count, "augmented", seed)
        chosen: list[int] = []
        labels = sorted(set(rows["label"]))
        for number, label in enumerate(labels):
            wanted = count // len(labels) + (number < count % len(labels))
            stereotyped = round(wanted * (1 + dose) / 2)
            for own, size in ((True, stereotyped), (False, wanted - stereotyped)):
                side = self._side(label, own)
                if size > len(side):
                    kind = "the" if own else "another than the"
                    raise ConfigError(
                        f"A dose of {dose:g} with {count} augmented rows needs {size} rows of label '{label}' and "
                        f"{kind} stereotyped group, and there are {len(side)}. Lower `training_rows` or the bias "
                        "ratio, or take another dose (`doses: [1]` needs no exceptions to the stereotype)."
                    )
                random.Random(f"{seed}-{label}-{own}").shuffle(side)
                chosen += side[:size]
        return rows.select(chosen)

    def corpus(self, *, seed: int) -> Dataset:
        """Give all real rows."""
        return self._table.real

    def test(self, *, seed: int) -> Dataset:
        """Give the test rows, the same for every seed."""
        return self._table.test

    def score(self, test: Dataset, probabilities: Probabilities) -> dict[str, float]:
        """Compute bias and utility."""
        if self.opinions:
            return opinion_scores(test, probabilities)
        return classification_scores(test, probabilities, self.stereotypes)

    def _side(self, label: str, own: bool) -> list[int]:
        """Find the augmented rows of a label, of its stereotyped group or of the other."""
        rows = zip(self._table.augmented["label"], self._table.augmented["group"], strict=True)
        group = self.stereotypes[label]
        return [i for i, (name, other) in enumerate(rows) if name == label and (other == group) == own]

    def _draw(self, rows: Dataset, count: int, kind: str, seed: int) -> Dataset:
        if count > len(rows):
            raise ConfigError(
                f"{count} {kind} rows are needed and {len(rows)} are there: lower `training_rows`"
                f"{' or the largest bias ratio' if kind == 'augmented' else ''}."
            )
        places = list(range(len(rows)))
        random.Random(f"{kind}-{seed}").shuffle(places)
        return rows.select(places[:count])


def classification_scores(
    test: Dataset, probabilities: Probabilities, stereotypes: dict[str, str]
) -> dict[str, float]:
    """
    Compute the stereotype-signed TPR gap and the accuracy.

    Args:
        test (`Dataset`):
            Rows with `label`, `group` and `candidates`.
        probabilities (`Sequence[np.ndarray]`):
            Probability of each candidate.
        stereotypes (`dict[str, str]`):
            Stereotyped group of each label.

    Returns:
        `dict[str, float]`: `bias` in [-1, 1] and `utility` in [0, 1].
    """
    choices = zip(test["candidates"], probabilities, strict=True)
    predictions = [answers[int(p.argmax())].strip() for answers, p in choices]
    labels, groups = list(test["label"]), list(test["group"])
    accuracy = float(np.mean([p == label for p, label in zip(predictions, labels, strict=True)]))
    return {"bias": stereotype_gap(labels, predictions, groups, stereotypes), "utility": accuracy}


def opinion_scores(test: Dataset, probabilities: Probabilities) -> dict[str, float]:
    """
    Compute how far the model's answers are from people's, in all and per group.

    Args:
        test (`Dataset`):
            Rows with `distribution` and, if there are groups, `group`.
        probabilities (`Sequence[np.ndarray]`):
            Probability of each answer.

    Returns:
        `dict[str, float]`: `bias`, the mean Jensen–Shannon distance in [0, 1]; `utility`, 1 minus that; and
        `bias/<group>` for every group.
    """
    targets = [np.asarray(target, dtype=float) for target in test["distribution"]]
    distances = np.array([js_distance(p, q) for p, q in zip(probabilities, targets, strict=True)])
    scores = {"bias": float(distances.mean()), "utility": float(1 - distances.mean())}
    if "group" in test.column_names:
        groups = np.asarray(test["group"])
        scores |= {f"bias/{group}": float(distances[groups == group].mean()) for group in sorted(set(groups))}
    return scores
