"""Counterfactual augmentation, a baseline: every row stands beside its twin of the other group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from datasets import Dataset, Features, Value, concatenate_datasets

from mitigate.mixing import check_new_column, check_seed
from mitigate.strata import Indices, find_strata
from mitigate.twins.making import TwinReport, make_twins
from mitigate.twins.words import TwinWords

PAIR_COLUMN = "pair"
# Pair of a row that has no twin beside it.
UNPAIRED = -1


class Counterfactuals(NamedTuple):
    """
    Rows beside their twins.

    Attributes:
        rows (`Dataset`):
            As many rows as were given, with the column `pair`: the place of a row among those that were given, for
            itself and for its twin; -1 for a row that stands alone.
        report (`TwinReport`):
            How many of the given rows have a twin, and why the others have none.
    """

    rows: Dataset
    report: TwinReport


def pair_with_twins(
    rows: Dataset,
    attribute: str | TwinWords = "gender",
    *,
    seed: int,
    columns: Sequence[str] = ("prompt", "completion"),
    label: str | None = None,
) -> Counterfactuals:
    r"""
    Put the counterfactual twins of half of the rows in the place of the other half.

    This is counterfactual data augmentation (Lu et al. 2018, Gender Bias in Neural Natural Language Processing,
    arXiv:1807.11714), with two-sided swaps, at a fixed number of rows. Adding a twin to every row would double them,
    and with augmented rows raise the bias ratio. So half of the rows that have a twin are drawn, and each is followed
    by its twin: among these pairs the groups are equally frequent, whatever else a row says. Rows without a twin (see
    [`make_twins`]) stay as they are; a row that names both groups has one, in which they change places. Of an odd
    number of rows with a twin, one stays alone.

    Args:
        rows (`Dataset`):
            The rows, such as the augmented ones of a training mix.
        attribute (`str` or `TwinWords`, *optional*, defaults to `"gender"`):
            What to swap, see [`make_twins`].
        seed (`int`):
            Seed of the draw, at least 0.
        columns (`Sequence[str]`, *optional*, defaults to `("prompt", "completion")`):
            Columns of texts.
        label (`str`, *optional*):
            Column of the label. With it, half of the rows of every label are drawn, to one row.

    Returns:
        `Counterfactuals`: The rows, each followed by its twin, in the order in which they were given; and the report.
        A twin has all that its row has but the texts and, if there is a column `group`, the group, which is what its
        text tells.

    Raises:
        ValueError: If there is a column `pair`, `twin` or `replaced` already, `group` holds no texts, or the seed is
            below 0; see [`make_twins`] for others.

    Example:
    ```python
    >>> from datasets import Dataset
    >>> from mitigate.twins.counterfactuals import pair_with_twins

    >>> rows = Dataset.from_dict({"text": ["She flies.", "She rests.", "They sing."]})
    >>> pair_with_twins(rows, columns=["text"], seed=0).rows["text"][:]
    ['She flies.', 'He flies.', 'They sing.']
    ```

    Limits: half of the rows are lost to their counterparts, and what is lost there is not the bias alone; swaps reach
    words and not facts, see [`make_twins`].
    """
    check_seed(seed)
    check_new_column(rows.features, PAIR_COLUMN)
    if "group" in rows.features and rows.features["group"] != Value("string"):
        raise ValueError(
            f"`group` must hold texts, for that of a twin is the name of one, got {rows.features['group']}. Convert "
            "it, as with `rows.cast_column('group', Value('string'))`, or leave it out."
        )
    pairs, report = make_twins(rows, attribute, columns=columns, both_groups=True)
    places = np.array(pairs[PAIR_COLUMN][::2], dtype=np.int64)
    drawn = _every_other(rows, places, label, np.random.default_rng(seed))
    with_twin = drawn[: len(places) // 2]
    kept = np.union1d(np.setdiff1d(np.arange(len(rows)), places), places[drawn])
    numbers = np.where(np.isin(kept, places[with_twin]), kept, UNPAIRED)
    features = Features({**rows.features, PAIR_COLUMN: Value("int64")})
    twins = pairs.select(2 * with_twin + 1).select_columns(list(features)).cast(features)
    joined = concatenate_datasets([rows.select(kept).add_column(PAIR_COLUMN, numbers), twins])
    order = np.argsort(np.concatenate([kept, places[with_twin]]), kind="stable")
    return Counterfactuals(joined.select(order), report)


def _every_other(rows: Dataset, places: Indices, label: str | None, rng: np.random.Generator) -> Indices:
    """Draw half of the places, rounded up, and of each label half; give their indices."""
    shuffled = rng.permutation(len(places))
    strata = find_strata(rows, rows.select([]), [label] if label else []).real
    return shuffled[np.argsort(strata[places[shuffled]], kind="stable")][::2]
