"""What a cell trains on and is measured by: rows of the testbed, or of the user's tables."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from datasets import Dataset, load_dataset
from numpy.typing import NDArray

from mitigate.metrics import js_distance, stereotype_gap
from mitigate.recipes.config import ConfigError, DataArguments
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
        """Give 6,000 real rows, other ones than those of the cells."""
        return self.world.real_rows(6000, seed=seed + 1_000_000)

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
        ConfigError: If a file, a column or a label is not there.
    """

    sensitive_words: list[str] | None = None

    def __init__(self, data: DataArguments) -> None:
        self.data = data
        self.stereotypes = data.stereotype_of()
        self.opinions = data.distribution_column is not None
        bias = "Jensen–Shannon distance to people's answers" if self.opinions else "stereotype-signed TPR gap"
        self.names = {"bias": bias, "utility": "similarity to people's answers" if self.opinions else "accuracy"}
        self._real, self._augmented = self._load_training()
        self._test = self._prepare(_load(data.test_file, "test_file"), "test_file", test=True)
        if not self.opinions:
            self._check_labels()

    def real(self, count: int, *, seed: int) -> Dataset:
        """Draw real rows without replacement."""
        return self._draw(self._real, list(range(len(self._real))), count, "real", seed)

    def augmented(self, count: int, *, dose: float, seed: int) -> Dataset:
        r"""
        Draw augmented rows without replacement, the stereotyped group of each label with share \\( (1 + \beta) / 2 \\).

        On opinions there is no dose: rows are drawn as found.
        """
        if self.opinions:
            return self._draw(self._augmented, list(range(len(self._augmented))), count, "augmented", seed)
        chosen: list[int] = []
        labels = sorted(set(self._augmented["label"]))
        for number, label in enumerate(labels):
            wanted = count // len(labels) + (number < count % len(labels))
            stereotyped = round(wanted * (1 + dose) / 2)
            sides = self._by_group(label)
            for side, size in ((sides[0], stereotyped), (sides[1], wanted - stereotyped)):
                if size > len(side):
                    raise ConfigError(
                        f"A dose of {dose:g} with {count} augmented rows needs {size} rows of label '{label}' in one "
                        f"group, and there are {len(side)}. Lower `training_rows`, the bias ratio or the dose."
                    )
                chosen += random.Random(f"{seed}-{label}").sample(side, size)
        return self._augmented.select(chosen)

    def corpus(self, *, seed: int) -> Dataset:
        """Give all real rows."""
        return self._real

    def test(self, *, seed: int) -> Dataset:
        """Give the test rows, the same for every seed."""
        return self._test

    def score(self, test: Dataset, probabilities: Probabilities) -> dict[str, float]:
        """Compute bias and utility."""
        if self.opinions:
            return opinion_scores(test, probabilities)
        return classification_scores(test, probabilities, self.stereotypes)

    def _load_training(self) -> tuple[Dataset, Dataset]:
        data = self.data
        rows = _load(data.real_file, "real_file")
        if data.augmented_file is not None:
            augmented = _load(data.augmented_file, "augmented_file")
            return self._prepare(rows, "real_file"), self._prepare(augmented, "augmented_file")
        column = data.augmented_column
        if column not in rows.column_names:
            raise ConfigError(
                f"`augmented_column`: '{column}' is not a column of {data.real_file} (columns: "
                f"{', '.join(rows.column_names)}). Name the boolean column that tells augmented rows, or give the "
                "augmented rows in a file of their own, `augmented_file`."
            )
        flags = [str(flag).strip().lower() in ("true", "1") for flag in rows[column]]
        if all(flags) or not any(flags):
            kind = "augmented" if all(flags) else "real"
            raise ConfigError(f"`augmented_column`: all {len(rows)} rows of {data.real_file} are {kind}.")
        sides = [[i for i, flag in enumerate(flags) if flag == side] for side in (False, True)]
        prepared = self._prepare(rows, "real_file")
        return prepared.select(sides[0]), prepared.select(sides[1])

    def _prepare(self, rows: Dataset, source: str, *, test: bool = False) -> Dataset:
        data = self.data
        named = {
            name: getattr(data, name)
            for name in ("text_column", "prompt_column", "completion_column", "label_column", "group_column")
            if getattr(data, name) is not None
        }
        if test and self.opinions:
            named |= {name: getattr(data, name) for name in ("options_column", "distribution_column")}
            named.pop("completion_column", None)
            named.pop("label_column", None)
        for field_name, column in named.items():
            if column not in rows.column_names:
                raise ConfigError(
                    f"`{field_name}`: '{column}' is not a column of `{source}` (columns: "
                    f"{', '.join(rows.column_names)})."
                )
        return rows.map(self._row, fn_kwargs={"test": test}, remove_columns=rows.column_names)

    def _row(self, row: dict[str, Any], test: bool) -> dict[str, Any]:
        data = self.data
        prompt = str(row[data.prompt_column]) if data.prompt_column else f"{row[data.text_column]}{data.prompt_suffix}"
        result: dict[str, Any] = {"prompt": prompt}
        if data.group_column:
            result["group"] = str(row[data.group_column])
        if test and self.opinions:
            answers = [f" {option}" for option in row[data.options_column]]
            return {**result, "candidates": answers, "distribution": row[data.distribution_column]}
        if data.label_column:
            result["label"] = str(row[data.label_column])
        result["completion"] = f" {row[data.completion_column or data.label_column]}"
        if test:
            result["candidates"] = [f" {label}" for label in sorted(self.stereotypes)]
        return result

    def _check_labels(self) -> None:
        for name, rows in (("real", self._real), ("augmented", self._augmented), ("test", self._test)):
            outside = sorted(set(rows["label"]) - set(self.stereotypes))
            if outside:
                raise ConfigError(
                    f"The {name} rows have labels outside the label set: {', '.join(outside)}. `stereotypes` names "
                    f"{', '.join(sorted(self.stereotypes))}; add them there, or drop these rows."
                )

    def _by_group(self, label: str) -> tuple[list[int], list[int]]:
        rows = zip(self._augmented["label"], self._augmented["group"], strict=True)
        places = [(i, group == self.stereotypes[label]) for i, (name, group) in enumerate(rows) if name == label]
        return [i for i, own in places if own], [i for i, own in places if not own]

    def _draw(self, rows: Dataset, places: list[int], count: int, kind: str, seed: int) -> Dataset:
        if count > len(places):
            raise ConfigError(
                f"{count} {kind} rows are needed and {len(places)} are there: lower `training_rows`"
                f"{' or the largest bias ratio' if kind == 'augmented' else ''}."
            )
        return rows.select(random.Random(f"{kind}-{seed}").sample(places, count))


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


def _load(source: str | None, field_name: str) -> Dataset:
    assert source is not None  # checked with the configuration
    path = Path(source)
    kinds = {".csv": "csv", ".jsonl": "json", ".json": "json"}
    if path.suffix in kinds:
        if not path.is_file():
            raise ConfigError(f"`{field_name}`: there is no file {source}.")
        rows = load_dataset(kinds[path.suffix], data_files=source, split="train", keep_in_memory=True)
    else:
        rows = load_dataset(source, split="test" if field_name == "test_file" else "train")
    if len(rows) == 0:
        raise ConfigError(f"`{field_name}`: {source} has no rows.")
    return rows
