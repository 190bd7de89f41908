"""What a cell trains on and is measured by: rows of the testbed, or of the user's tables."""

from __future__ import annotations

import random
from typing import Any, Protocol

from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mitigate.cells import ALL_TYPES, DATA_BIAS
from mitigate.recipes.arguments import DataArguments
from mitigate.recipes.config import ConfigError
from mitigate.recipes.measuring import Asking, Probabilities, classification_scores, opinion_scores, probabilities
from mitigate.recipes.tables import Table
from mitigate.twins import TwinWords
from mitigate.world import World

ASSOCIATION = "association of group and label in the training rows"


class Task(Protocol):
    """
    Rows to train on, which have `prompt` and `completion`, and a way to measure what a model has learned.

    Attributes:
        names (`dict[str, str]`):
            What `bias` and `utility` mean here, for people to read.
        sensitive_words (`list[str]` or `None`):
            Words to mask; `None` to take the configured lexicon.
        stereotypes (`dict[str, str]`):
            Stereotyped group of each label of the rows; empty where rows have no such labels.
        twin_words (`TwinWords` or `None`):
            Words that counterfactual augmentation swaps; `None` to take the configured ones.
    """

    names: dict[str, str]
    sensitive_words: list[str] | None
    stereotypes: dict[str, str]
    twin_words: TwinWords | None

    def real(self, count: int, *, seed: int) -> Dataset:
        """Draw real rows."""
        ...

    def augmented(self, count: int, *, dose: float, seed: int, bias_type: str) -> Dataset:
        """Draw augmented rows with a bias dose and of a bias type."""
        ...

    def corpus(self, *, seed: int) -> Dataset:
        """Give real rows to train a model from scratch on."""
        ...

    def measure(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, asking: Asking) -> dict[str, Any]:
        """Measure a model: what its cell's record has under `metrics` or `tasks`, with that key."""
        ...


class WorldTask:
    """The controlled testbed."""

    names = {"bias": "stereotype-signed TPR gap", "utility": "accuracy", DATA_BIAS: ASSOCIATION}  # noqa: RUF012

    def __init__(self) -> None:
        self.world = World()
        self.stereotypes = self.world.stereotypes
        self.sensitive_words: list[str] | None = self.world.sensitive_words
        self.twin_words: TwinWords | None = self.world.twin_words

    def real(self, count: int, *, seed: int) -> Dataset:
        """Draw real rows."""
        return self.world.real_rows(count, seed=seed)

    def augmented(self, count: int, *, dose: float, seed: int, bias_type: str = ALL_TYPES) -> Dataset:
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

    def score(self, test: Dataset, found: Probabilities) -> dict[str, float]:
        """Compute the stereotype-signed TPR gap and the accuracy."""
        return classification_scores(test, found, self.world.stereotypes)

    def measure(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, asking: Asking) -> dict[str, Any]:
        """Measure a model on the twins; see [`Task`]."""
        test = self.test(seed=asking.seed)
        return {"metrics": self.score(test, probabilities(model, tokenizer, test, asking))}


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
    twin_words: TwinWords | None = None

    def __init__(self, data: DataArguments) -> None:
        self._table = Table(data)
        self.opinions = data.distribution_column is not None
        self.stereotypes = {} if self.opinions else data.stereotype_of()
        bias = "Jensen–Shannon distance to people's answers" if self.opinions else "stereotype-signed TPR gap"
        self.names = {"bias": bias, "utility": "similarity to people's answers" if self.opinions else "accuracy"}
        self.names |= {} if self.opinions else {DATA_BIAS: ASSOCIATION}

    def real(self, count: int, *, seed: int) -> Dataset:
        """
        Draw real rows without replacement.

        Of one seed, fewer rows are always among more, so that cells differ in their ratios rather than by luck.
        """
        return draw(self._table.real, count, "real", seed)

    def augmented(self, count: int, *, dose: float, seed: int, bias_type: str = ALL_TYPES) -> Dataset:
        r"""
        Draw augmented rows without replacement, equally many of each label and, of these, a share of
        \( (1 + \beta) / 2 \) from its stereotyped group.

        On opinions there is no dose: rows are drawn as found.
        """
        rows = self._table.augmented
        if self.opinions:
            return draw(rows, count, "augmented", seed)
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

    def score(self, test: Dataset, found: Probabilities) -> dict[str, float]:
        """Compute bias and utility."""
        if self.opinions:
            return opinion_scores(test, found)
        return classification_scores(test, found, self.stereotypes)

    def measure(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, asking: Asking) -> dict[str, Any]:
        """Measure a model on the test rows; see [`Task`]."""
        test = self.test(seed=asking.seed)
        return {"metrics": self.score(test, probabilities(model, tokenizer, test, asking))}

    def _side(self, label: str, own: bool) -> list[int]:
        """Find the augmented rows of a label, of its stereotyped group or of the other."""
        rows = zip(self._table.augmented["label"], self._table.augmented["group"], strict=True)
        group = self.stereotypes[label]
        return [i for i, (name, other) in enumerate(rows) if name == label and (other == group) == own]


def draw(rows: Dataset, count: int, kind: str, seed: int) -> Dataset:
    """
    Draw rows without replacement, so that of one seed fewer are always among more.

    Args:
        rows (`Dataset`):
            The rows.
        count (`int`):
            How many to draw.
        kind (`str`):
            `"real"` or `"augmented"`.
        seed (`int`):
            Seed of the draw.

    Returns:
        `Dataset`: `count` rows.

    Raises:
        ConfigError: If there are not enough.
    """
    if count > len(rows):
        raise ConfigError(
            f"{count} {kind} rows are needed and {len(rows)} are there: lower `training_rows`"
            f"{' or the largest bias ratio' if kind != 'real' else ''}."
        )
    places = list(range(len(rows)))
    random.Random(f"{kind}-{seed}").shuffle(places)
    return rows.select(places[:count])
