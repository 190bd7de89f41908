"""What tasks with a fixed set of labels share: how they ask, and how well the labels are found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from datasets import Dataset
from sklearn.metrics import f1_score

from mitigate.tasks.base import Answer, Bounds, Prompt, Task, choice_text
from mitigate.tasks.parsing import alike, exact_label

# Stands for an answer that is no label.
NO_LABEL = ""


@dataclass(frozen=True, kw_only=True)
class LabelTask(Task[str]):
    """A task whose answers are labels."""

    closed = True
    max_new_tokens = 12

    def parse(self, prompt: Prompt, answer: Answer) -> str | None:
        """Give the label; see [`exact_label`]."""
        return exact_label(choice_text(prompt, answer), prompt.choices)


def refuse_other_labels(found: Iterable[str], labels: Sequence[str]) -> None:
    """
    Refuse labels that a task does not know.

    Args:
        found (`Iterable[str]`):
            Labels of items.
        labels (`Sequence[str]`):
            Those that the task knows.

    Raises:
        ValueError: If there is another.
    """
    strange = sorted(set(found) - set(labels))
    if strange:
        raise ValueError(
            f"Column 'label' has '{strange[0][:40]}', which is none of {', '.join(labels)}. Say what it means with "
            "`values` of the source, or drop the row."
        )


class LabelScores(NamedTuple):
    """
    How well labels are found.

    Args:
        value (`float`):
            The score if what could not be read counts as wrong.
        bounds (`tuple[float, float]`):
            The score if all of it were wrong, and if all were right.
    """

    value: float
    bounds: Bounds


def ask_labels(items: Dataset, text: str, labels: Sequence[str], groups: Sequence[str]) -> list[Prompt]:
    """
    Ask for the label of each item.

    Args:
        items (`Dataset`):
            `n` rows with `text` and `label`.
        text (`str`):
            The instruction, in front of the text.
        labels (`Sequence[str]`):
            The labels, in the order in which they are listed.
        groups (`Sequence[str]` of length `n`):
            Group of each item.

    Returns:
        `list[Prompt]`: One prompt an item.

    Raises:
        ValueError: If an item has another label, or two labels read alike.
    """
    same = alike(labels)
    if same is not None:
        raise ValueError(f"`labels`: '{same[0]}' and '{same[1]}' read alike in an answer. Rename one.")
    refuse_other_labels(items["label"], labels)
    request = f"{text} Answer with one of these and nothing else: {', '.join(labels)}."
    return [
        Prompt(f"{request}\n\n{row['text']}", group, row["label"], tuple(labels))
        for row, group in zip(items, groups, strict=True)
    ]


def accuracy(targets: Sequence[str], found: Sequence[str | None]) -> LabelScores:
    """
    Share of right labels.

    Args:
        targets (`Sequence[str]` of length `n`):
            Right labels.
        found (`Sequence[str | None]` of length `n`):
            Labels found; `None` for what could not be read.

    Returns:
        `LabelScores`: In [0, 1].
    """
    right, missing = (
        float(np.mean([given == wanted for given, wanted in zip(found, targets, strict=True)])),
        float(np.mean([given is None for given in found])),
    )
    return LabelScores(right, (right, right + missing))


def macro_f1(targets: Sequence[str], found: Sequence[str | None], labels: Sequence[str]) -> LabelScores:
    """
    Mean over a fixed set of labels of their F1, with 0 for a label that is neither there nor predicted.

    What could not be read is no label, and takes nothing from the precision of any. The lower bound lets it take from
    the precision of every label but its own. With two labels that is the least that there can be; with more it is
    somewhat less, as an answer cannot be several wrong labels at once.

    Args:
        targets (`Sequence[str]` of length `n`):
            Right labels.
        found (`Sequence[str | None]` of length `n`):
            Labels found; `None` for what could not be read.
        labels (`Sequence[str]`):
            The set of labels.

    Returns:
        `LabelScores`: In [0, 1].
    """

    def filled(fills: Sequence[str], labels: Sequence[str]) -> float:
        given = [fill if own is None else own for own, fill in zip(found, fills, strict=True)]
        return float(f1_score(targets, given, labels=list(labels), average="macro", zero_division=0))

    low = [filled([NO_LABEL if wanted == label else label for wanted in targets], [label]) for label in labels]
    value, high = filled([NO_LABEL] * len(targets), labels), filled(targets, labels)
    return LabelScores(value, (float(np.mean(low)), high))


def majority_score(targets: Sequence[str], labels: Sequence[str]) -> float:
    """
    Macro-F1 of always giving the most frequent label, to hold a score against.

    Args:
        targets (`Sequence[str]`):
            Right labels.
        labels (`Sequence[str]`):
            The set of labels.

    Returns:
        `float`: In [0, 1].
    """
    majority = Counter(targets).most_common(1)[0][0]
    return macro_f1(targets, [majority] * len(targets), labels).value
