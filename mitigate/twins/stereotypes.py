"""Which member of a pair of twins follows the stereotype of its label."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset, Features, Value


def mark_stereotyped(pairs: Dataset, stereotypes: Mapping[str, str], *, label_column: str = "label") -> Dataset:
    """
    Tell which member of each pair follows the stereotype, for [`mitigate.dose.draw_dose`].

    Args:
        pairs (`Dataset`):
            The pairs of [`make_twins`].
        stereotypes (`Mapping[str, str]`):
            Stereotyped group of each label.
        label_column (`str`, *optional*, defaults to `"label"`):
            Column of the label, which twins share.

    Returns:
        `Dataset`: The pairs with the boolean column `stereotyped`. Pairs whose label has no stereotype are left out,
        with a warning.

    Raises:
        ValueError: If there is no such column, a stereotype names a group that is in no pair, or no pair has a label
            with a stereotype.
    """
    if label_column not in pairs.column_names:
        raise ValueError(f"`label_column`: the pairs have no column '{label_column}', only {pairs.column_names}.")
    labels, groups = list(pairs[label_column]), list(pairs["group"])
    unknown = sorted(set(stereotypes.values()) - set(groups)) if groups else []
    if unknown:
        raise ValueError(f"`stereotypes` names the group '{unknown[0]}', the pairs have {sorted(set(groups))}.")
    kept = [place for place, label in enumerate(labels) if label in stereotypes]
    if not labels:
        features = Features({**pairs.features, "stereotyped": Value("bool")})
        return Dataset.from_dict({name: [] for name in features}, features=features)
    if len(kept) < len(labels):
        _tell_left_out(labels, stereotypes)
    flags = [stereotypes[labels[place]] == groups[place] for place in kept]
    return pairs.select(kept).add_column("stereotyped", np.array(flags, dtype=bool))


def _tell_left_out(labels: Sequence[Any], stereotypes: Mapping[str, str]) -> None:
    """Refuse stereotypes of no label, and warn of labels without one; `repr` tells '1' from 1."""
    without = Counter(repr(label) for label in labels if label not in stereotypes)
    known = ", ".join(map(repr, stereotypes)) or "no label"
    if without.total() == len(labels):
        raise ValueError(f"`stereotypes` names {known}, and the pairs have the labels {', '.join(sorted(without))}.")
    warnings.warn(
        f"{without.total() // 2} of {len(labels) // 2} pairs are left out: `stereotypes` has none for the labels "
        f"{', '.join(sorted(without))}, only for {known}.",
        stacklevel=3,
    )
