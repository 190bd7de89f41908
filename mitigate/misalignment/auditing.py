"""The audit: all three misalignments of augmented rows, before anything is trained on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mitigate.misalignment.distributions import DistributionMisalignment, distribution_misalignment
from mitigate.misalignment.features import FeatureMap, Features, map_features, word_features
from mitigate.misalignment.groups import GroupMisalignment, group_misalignment
from mitigate.misalignment.surface import SurfaceMisalignment, surface_misalignment, surface_within_labels
from mitigate.misalignment.tables import AnswerTable, TextRows
from mitigate.misalignment.taggers import Tagger
from mitigate.misalignment.values import Answers, ValueMisalignment, value_misalignment
from mitigate.misalignment.wording import groups_by_words
from mitigate.mixing import check_seed
from mitigate.spelling import check_spelling

# Cultures of which the farthest question is kept to be shown.
_SHOWN = 6


@dataclass(frozen=True)
class Audit:
    """
    What an audit found. It holds no text of a row.

    Args:
        rows (`tuple[int, int]`):
            Real and augmented rows.
        values (`tuple[ValueMisalignment, ...]`):
            Misalignment of values by culture; empty if no answers were given.
        farthest (`tuple[Answers, ...]`):
            The farthest question of each of the six farthest cultures.
        groups (`GroupMisalignment` or `None`):
            Misalignment of groups; `None` if it could not be measured.
        groups_by (`str`):
            What told the groups: `"column"` or `"words"`.
        distributions (`DistributionMisalignment`):
            Misalignment of distributions, in features.
        surface (`SurfaceMisalignment`):
            Difference of the surface of texts.
        surface_within_label (`SurfaceMisalignment` or `None`):
            Its mean over labels; `None` without labels, or if no label has ten rows of either side.
        map (`FeatureMap`):
            Some rows in two dimensions.
        notes (`tuple[str, ...]`):
            What was not measured, or not on all rows, and why.
    """

    rows: tuple[int, int]
    values: tuple[ValueMisalignment, ...]
    farthest: tuple[Answers, ...]
    groups: GroupMisalignment | None
    groups_by: str
    distributions: DistributionMisalignment
    surface: SurfaceMisalignment
    surface_within_label: SurfaceMisalignment | None
    map: FeatureMap
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """
        Give the audit as plain values for JSON.

        Returns:
            `dict[str, Any]`: The fields; tuples become lists, and what is not finite becomes `None`.
        """
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


def audit(
    real: TextRows,
    augmented: TextRows,
    *,
    features: Features | None = None,
    answers: AnswerTable | None = None,
    respondents: int = 1000,
    ordered: bool = False,
    tagger: Tagger | None = None,
    seed: int = 0,
) -> Audit:
    """
    Measure how far augmented rows lie from real ones: in values, in groups, in the distribution of the data.

    Args:
        real (`TextRows`):
            Real rows.
        augmented (`TextRows`):
            Augmented rows, with labels and groups if the real ones have them.
        features (`Features`, *optional*):
            Features of both sides, of [`~mitigate.misalignment.encoders.encoder_features`] or
            [`~mitigate.misalignment.features.read_features`]. Without any, [`word_features`] of the texts.
        answers (`AnswerTable`, *optional*):
            Answers of people and of the generator to opinion questions; without any, values are not measured.
        respondents (`int`, *optional*, defaults to 1000):
            People asked for each distribution of answers.
        ordered (`bool`, *optional*, defaults to `False`):
            Whether the options of every question are in their order.
        tagger (`Tagger`, *optional*):
            Parts of speech for the templates; see [`surface_misalignment`].
        seed (`int`, *optional*, defaults to 0):
            Seed of all that is left to chance.

    Returns:
        `Audit`: The measures. `mitigate.report.audit` draws them and puts them into words.

    Raises:
        ValueError: If a side has fewer than ten rows; if only one side has labels or groups; if no label or no group
            is on both sides; if the groups of a column are only one; if features and rows do not fit together; or if
            the seed is out of range.

    Example:
    ```python
    >>> from mitigate.misalignment import TextRows, audit
    >>> from mitigate.world import World

    >>> def rows(data):
    ...     return TextRows(tuple(data["prompt"]), tuple(data["label"]), tuple(data["group"]))

    >>> world = World()
    >>> result = audit(rows(world.real_rows(200, seed=0)), rows(world.augmented_rows(200, dose=1.0, seed=0)))
    >>> result.groups.association.estimate > 0.9, result.distributions.pooled.separability.estimate > 0.9
    (True, True)
    ```
    """
    check_seed(seed)
    _check_sides(real, augmented)
    labels = (real.labels, augmented.labels) if real.labels and augmented.labels else None
    features = features or word_features(real.texts, augmented.texts, seed=seed)
    if (len(features.real), len(features.augmented)) != (len(real), len(augmented)):
        raise ValueError(
            f"There are features of {len(features.real)} real and {len(features.augmented)} augmented rows, and "
            f"{len(real)} and {len(augmented)} texts."
        )
    distributions = distribution_misalignment(features, labels=labels, seed=seed)
    groups, why = _groups(real, augmented, labels, seed)
    values: list[ValueMisalignment] = []
    if answers:
        values = value_misalignment(answers.answers, respondents=respondents, ordered=ordered, seed=seed)
    return Audit(
        rows=(len(real), len(augmented)),
        values=tuple(values),
        farthest=tuple(_farthest(answers.answers, values, respondents)) if answers else (),
        groups=groups,
        groups_by="column" if real.groups else "words",
        distributions=distributions,
        surface=surface_misalignment(real.texts, augmented.texts, tagger=tagger, seed=seed),
        surface_within_label=(
            surface_within_labels(real.texts, augmented.texts, labels, tagger=tagger, seed=seed) if labels else None
        ),
        map=map_features(features, seed=seed),
        notes=(*why, *_notes(labels, distributions, answers)),
    )


def _check_sides(real: TextRows, augmented: TextRows) -> None:
    for name in ("labels", "groups"):
        sides = getattr(real, name), getattr(augmented, name)
        if (sides[0] is None) != (sides[1] is None):
            raise ValueError(f"Only one side has {name}: give them for real and augmented rows, or for neither.")
        if sides[0] is None or sides[1] is None:
            continue
        check_spelling((*sides[0], *sides[1]), f"`{name}`")
        known = [sorted({*side} - {""}) for side in sides]
        if all(known) and not {*known[0]} & {*known[1]}:
            named = [", ".join(names[:5]) + (" …" if len(names) > 5 else "") for names in known]
            raise ValueError(
                f"No {name[:-1]} is on both sides (real: {named[0]}; augmented: {named[1]}): spell them alike, or "
                f"leave the {name} out."
            )


def _groups(
    real: TextRows, augmented: TextRows, labels: tuple[Sequence[str], Sequence[str]] | None, seed: int
) -> tuple[GroupMisalignment | None, list[str]]:
    if real.groups and augmented.groups:
        return group_misalignment(real.groups, augmented.groups, labels=labels, seed=seed), []
    told = [groups_by_words(side.texts) for side in (real, augmented)]
    note = "No column of groups was named: groups were told by English pronouns and titles in the texts"
    if not all(any(side) for side in told) or len({*told[0], *told[1]} - {""}) < 2:
        return None, [f"{note}, which do not tell two groups; group data were not measured."]
    return group_misalignment(told[0], told[1], labels=labels, seed=seed), [f"{note}."]


def _farthest(answers: Sequence[Answers], values: Sequence[ValueMisalignment], respondents: int) -> list[Answers]:
    far = []
    for culture in sorted(values, key=lambda value: -value.excess.estimate)[:_SHOWN]:
        own = [answer for answer in answers if answer.culture == culture.culture]
        excesses = [value_misalignment([answer], respondents=respondents)[0].excess.estimate for answer in own]
        far.append(own[excesses.index(max(excesses))])
    return far


def _notes(labels: object, distributions: DistributionMisalignment, answers: AnswerTable | None) -> list[str]:
    notes = []
    if labels is None:
        notes.append("No column of labels was named: nothing was measured within labels.")
    elif distributions.covered < 1:
        notes.append(
            f"Within labels, distributions were compared in the {len(distributions.labels)} label(s) that have ten "
            f"rows on either side, {distributions.covered:.0%} of the real rows."
        )
    if answers is None:
        notes.append("No file of answers was given: values were not measured.")
    elif answers.left_out:
        notes.append(
            f"{answers.left_out} of {answers.left_out + len(answers.answers)} rows of answers were left out "
            f"({answers.reason.rstrip('.')})."
        )
    return notes


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
