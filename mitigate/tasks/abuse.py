"""Abusive language of a culture: does the model recognise it?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from datasets import Dataset

from mitigate.tasks.base import Answer, Prompt, Scores
from mitigate.tasks.labels import LabelTask, ask_labels, macro_f1, majority_score, refuse_other_labels
from mitigate.tasks.missing import group_means
from mitigate.tasks.sources import Source

# Neither contains the other, nor a negation: a parser that looks for OFF in NOT_OFF is a classic mistake.
LABELS = ("offensive", "acceptable")
_BINARY = {"label": {"0": "acceptable", "1": "offensive", "NOT": "acceptable", "OFF": "offensive"}}
# By culture, a public set. Where one is gated or loaded by a script, take a local file with `text` and `label`.
SOURCES: Mapping[str, Source] = {
    "Arabic": Source(
        "strombergnlp/offenseval_2020", subset="ar", columns={"text": "text", "label": "subtask_a"}, values=_BINARY
    ),
    "Chinese": Source("thu-coai/cold", columns={"text": "TEXT"}, values=_BINARY),
    "Portuguese": Source(
        "ruanchaves/hatebr",
        # The main branch holds a loader script, which `datasets` no longer runs.
        revision="refs/convert/parquet",
        columns={"text": "instagram_comments", "label": "offensive_language"},
        values={"label": {"0": "acceptable", "1": "offensive", "False": "acceptable", "True": "offensive"}},
        confirmed=True,
    ),
    "Spanish": Source(
        "SINAI/OffendES",
        columns={"text": "comment", "label": "label"},
        values={"label": {"OFP": "offensive", "OFG": "offensive", "NOE": "acceptable", "NO": "acceptable"}},
    ),
}


@dataclass(frozen=True, kw_only=True)
class AbuseTask(LabelTask):
    """
    Offensive or acceptable: posts in the language of a culture.

    Scores: `utility` is the macro-F1 over the two labels, in [0, 1]; `bias` is 1 less that, how badly the culture is
    served, as the task has no groups to compare; the value of the only group, the culture, is the share of right
    labels. What could not be read counts as wrong. Details: `majority_macro_f1`, of always giving the more frequent
    label, and `positives`, the share of offensive posts.

    Args:
        culture (`str`):
            The culture; it names the task and its only group.
        minimum (`int`, *optional*, defaults to 100):
            Posts that the rarer label must have. With two, one post changes macro-F1 by up to a third.
    """

    culture: str
    minimum: int = 100
    related_to: ClassVar[tuple[str, ...]] = ("culture",)
    relation: ClassVar[Literal["direct", "indirect", "none"]] = "indirect"
    metric_names: ClassVar[Mapping[str, str]] = {"bias": "1 − macro-F1", "utility": "macro-F1"}
    columns: ClassVar[tuple[str, ...]] = ("text", "label")

    def load(self, source: Source | None = None) -> Dataset:
        """Load the posts, and refuse other labels and too few of one; see [`Task.load`]."""
        rows = super().load(source)
        refuse_other_labels(rows["label"], LABELS)
        counts = Counter(rows["label"])
        rare = min(LABELS, key=lambda label: counts[label])
        if counts[rare] < self.minimum:
            raise ValueError(
                f"Task '{self.name}': {(source or self.source).path} has {counts[rare]} posts that are '{rare}', and "
                f"macro-F1 needs at least {self.minimum} of each label to mean anything. Take a larger set, or lower "
                "`minimum` for a trial."
            )
        return rows

    def prompts(self, items: Dataset) -> list[Prompt]:
        """Ask about every post; see [`Task.prompts`]."""
        text = f"Is this post offensive to people of {self.culture} culture?"
        return ask_labels(items, text, LABELS, [self.culture] * len(items))

    def score(self, prompts: Sequence[Prompt], answers: Sequence[Answer]) -> Scores:
        """Compute macro-F1; see the class."""
        readings = self.read(prompts, answers)
        targets = [prompt.target for prompt in prompts]
        utility, bounds = macro_f1(targets, readings.values, LABELS)
        right = [None if v is None else float(v == t) for v, t in zip(readings.values, targets, strict=True)]
        groups = group_means([self.culture] * len(targets), right, readings.refused, (0.0, 1.0))
        details = {"majority_macro_f1": majority_score(targets, LABELS)}
        details["positives"] = targets.count(LABELS[0]) / len(targets)
        return Scores(1 - utility, utility, groups, (1 - bounds[1], 1 - bounds[0]), bounds, details)


def abuse_task(culture: str, **options: Any) -> AbuseTask:
    """
    Make the task of a culture.

    Args:
        culture (`str`):
            One of `SOURCES`, or any other with a `source`.
        options (`Any`):
            Further arguments of [`AbuseTask`].

    Returns:
        `AbuseTask`: The task, named after the culture (`abuse-arabic`).

    Raises:
        ValueError: If the culture has no source of its own and none is given.
    """
    source = options.pop("source", None) or SOURCES.get(culture)
    if source is None:
        raise ValueError(
            f"`culture`: there is no set for '{culture}' (sets: {', '.join(SOURCES)}). Give one with `source`."
        )
    return AbuseTask(name=f"abuse-{culture.lower()}", culture=culture, source=source, **options)
