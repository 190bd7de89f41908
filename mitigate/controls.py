"""Matched controls: pairs of an augmented and a real row that agree in length, fluency, label and topic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from datasets import Dataset
from numpy.typing import NDArray
from scipy.spatial import KDTree

from mitigate.balance import Balance, StratumDrops, covariate_balance, pooled_deviations
from mitigate.mixing import check_new_column, check_seed
from mitigate.strata import Indices, Strata, column_values, find_strata

PAIR_COLUMN = "pair"
CALIPER = 0.2
# In calipers. Shifts the points by less than anything that counts, so that distances seldom tie.
_JITTER = 1e-6

Points = NDArray[np.float64]


@dataclass(frozen=True)
class MatchedControls:
    """
    Pairs of an augmented and a real row.

    Args:
        real (`Dataset`):
            The real row of each pair, with the column `pair`, which counts from 0.
        augmented (`Dataset`):
            The augmented row of each pair, in the same order and with the same column.
        balance (`Balance`):
            How alike the sides were and are, and what was dropped.
    """

    real: Dataset
    augmented: Dataset
    balance: Balance


def match_controls(
    real: Dataset,
    augmented: Dataset,
    *,
    covariates: Sequence[str],
    exact: Sequence[str] = (),
    caliper: float = CALIPER,
    seed: int = 0,
) -> MatchedControls:
    r"""
    Match augmented to real rows, one to one and without replacement.

    The rows of a pair agree in every column of `exact`, and differ in no covariate by more than `caliper` standard
    deviations, \\( \sqrt{(s_r^2 + s_a^2) / 2} \\) of all rows before matching. Of all pairs that could be made, the
    closest is made first, then the closest of what is left, and so on (greedy matching); the distance is the largest
    of the standardised differences. So the pairs do not depend on the order of the rows, except where distances tie.

    The width of 0.2 standard deviations is what Austin (2011, Pharm. Stat. 10, 150-161) found best for the logit of a
    propensity score. Here it bounds each covariate by itself: no model of the treatment has to be right, and a
    standardised mean difference of matched rows cannot exceed it. With many covariates few rows find a partner.

    Greedy pairs are about a tenth fewer than could be made. The others would be pairs at the edge of the caliper, all
    apart in the direction in which the sides differ, so that optimal matching leaves more of that difference
    (`docs/mixing.md` has figures); nor does it scale. Here, each round makes all pairs of rows that are each other's
    nearest, in \\( O(n \log n) \\); 100,000 rows a side take seconds (`benchmarks/mixing.py`). Rows placed on purpose
    so that each round makes one pair would take \\( n \\) rounds.

    Args:
        real (`Dataset`):
            Real rows.
        augmented (`Dataset`):
            Augmented rows.
        covariates (`Sequence[str]`):
            Numeric columns, such as `length` and `log_perplexity` of [`mitigate.perplexity.measure_texts`].
        exact (`Sequence[str]`, *optional*, defaults to `()`):
            Columns in which the rows of a pair must be equal, such as label and topic.
        caliper (`float`, *optional*, defaults to 0.2):
            Largest difference within a pair, in standard deviations; above 0.
        seed (`int`, *optional*, defaults to 0):
            Decides between equal distances; at least 0.

    Returns:
        `MatchedControls`: The pairs in the order of the augmented rows, and the balance.

    Raises:
        ValueError: If `covariates` is empty, or `exact` is one text; if a column is missing, has empty or infinite
            values, or varies on neither side; if the caliper is not above 0, or the seed below 0; or if no pair can be
            made.

    Example:
    ```python
    >>> from datasets import Dataset
    >>> from mitigate.controls import match_controls

    >>> real = Dataset.from_dict({"text": ["a", "b", "c"], "length": [10, 20, 30]})
    >>> augmented = Dataset.from_dict({"text": ["d", "e"], "length": [31, 11]})
    >>> matched = match_controls(real, augmented, covariates=["length"])
    >>> list(matched.real["text"]), list(matched.augmented["text"])
    (['c', 'a'], ['d', 'e'])
    ```
    """
    _check_request(real, augmented, covariates, exact, caliper)
    check_seed(seed)
    strata = find_strata(real, augmented, exact)
    sides = _covariates(real, covariates, "real"), _covariates(augmented, covariates, "augmented")
    deviations = pooled_deviations(*sides)
    _check_deviations(covariates, deviations)
    points = [(side - sides[0].mean(axis=0)) / (deviations * caliper) for side in sides]  # the caliper becomes 1
    partners = _match(strata, points, np.random.default_rng(seed))
    matched = np.flatnonzero(partners >= 0)
    drops = _drops(strata, points, partners)
    if len(matched) == 0:
        raise ValueError(
            f"No augmented row has a real row within {caliper:g} standard deviations in the same stratum: "
            f"{sum(drop.no_real for drop in drops)} have no real row there, and {sum(drop.too_far for drop in drops)} "
            "none that is close enough. Widen `caliper`, or take fewer columns."
        )
    chosen = partners[matched], matched
    covariate_balances = tuple(
        covariate_balance(
            name, (sides[0][:, k], sides[1][:, k]), (sides[0][chosen[0], k], sides[1][chosen[1], k]), deviations[k]
        )
        for k, name in enumerate(covariates)
    )
    return MatchedControls(
        _number_pairs(real, chosen[0]),
        _number_pairs(augmented, chosen[1]),
        Balance(covariate_balances, tuple(drops), caliper, len(matched), len(real), len(augmented)),
    )


def _number_pairs(rows: Dataset, chosen: Indices) -> Dataset:
    numbers = np.full(len(rows), -1)
    numbers[chosen] = np.arange(len(chosen))
    return rows.add_column(PAIR_COLUMN, numbers).select(chosen)


def _check_request(
    real: Dataset, augmented: Dataset, covariates: Sequence[str], exact: Sequence[str], caliper: float
) -> None:
    if not covariates or isinstance(covariates, str):
        raise ValueError(
            f"`covariates` must list at least one numeric column, such as ['length'], got {covariates!r}."
        )
    if isinstance(exact, str):
        raise ValueError(f"`exact` must list columns, such as ['label'], got {exact!r}.")
    if not (isinstance(caliper, int | float | np.integer | np.floating) and 0 < caliper < np.inf):
        raise ValueError(f"`caliper` must be a number above 0 and finite, got {caliper!r}.")
    for rows, kind in ((real, "real"), (augmented, "augmented")):
        if len(rows) < 2:
            raise ValueError(f"Matching needs at least two rows a side, got {len(rows)} {kind} row(s).")
        check_new_column(rows.features, PAIR_COLUMN)


def _check_deviations(covariates: Sequence[str], deviations: Points) -> None:
    for name, deviation in zip(covariates, deviations, strict=True):
        if deviation == 0:
            raise ValueError(
                f"`{name}` varies neither within the real nor within the augmented rows, so it has no standard "
                "deviation to measure a caliper in. Leave it out, or give it in `exact`."
            )


def _covariates(rows: Dataset, names: Sequence[str], kind: str) -> Points:
    columns = []
    for name in names:
        values = column_values(rows, name, kind)
        if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
            raise ValueError(f"`{name}` must hold numbers to match on, got {values.type} in the {kind} rows.")
        column = values.to_numpy().astype(np.float64)
        strange = np.count_nonzero(~np.isfinite(column))
        if strange:
            raise ValueError(
                f"`{name}` is infinite or no number in {strange} of the {len(rows)} {kind} rows. Leave these rows out."
            )
        columns.append(column)
    return np.stack(columns, axis=1)


def _match(strata: Strata, points: Sequence[Points], rng: np.random.Generator) -> Indices:
    """Return the real partner of every augmented row, or -1."""
    partners = np.full(len(strata.augmented), -1)
    for real_rows, augmented_rows in _by_stratum(strata):
        if len(real_rows) and len(augmented_rows):
            matched, found = _match_greedily(points[0][real_rows], points[1][augmented_rows], rng)
            partners[augmented_rows[matched]] = real_rows[found]
    return partners


def _by_stratum(strata: Strata) -> list[tuple[Indices, Indices]]:
    parts = []
    for numbers, sizes in zip((strata.real, strata.augmented), strata.sizes(), strict=True):
        parts.append(np.split(np.argsort(numbers, kind="stable"), np.cumsum(sizes)[:-1]))
    return list(zip(*parts, strict=True))


class _Side:
    """Rows of one side of a stratum that are still free, by place: rows at one place need no telling apart."""

    def __init__(self, points: Points, rng: np.random.Generator) -> None:
        places, place, self.free = np.unique(points, axis=0, return_inverse=True, return_counts=True)
        self.places = places + rng.uniform(-_JITTER, _JITTER, places.shape)
        self._rows = np.argsort(place.ravel(), kind="stable")
        self._starts = np.cumsum(self.free) - self.free

    def take(self, places: Indices, counts: Indices) -> Indices:
        """Take so many rows of each place, which must be different places."""
        starts = self._starts[places]
        self._starts[places] += counts
        self.free[places] -= counts
        return np.concatenate([self._rows[start : start + count] for start, count in zip(starts, counts, strict=True)])


def _match_greedily(real: Points, augmented: Points, rng: np.random.Generator) -> tuple[Indices, Indices]:
    """Return augmented rows and their real partners, in the order in which they were made."""
    sides = _Side(real, rng), _Side(augmented, rng)
    pairs: list[tuple[Indices, Indices]] = []
    reaching = np.arange(len(sides[1].places))
    while True:
        open_real = np.flatnonzero(sides[0].free)
        reaching = reaching[sides[1].free[reaching] > 0]
        if len(open_real) == 0 or len(reaching) == 0:
            break
        distances, nearest = _nearest(sides[0].places[open_real], sides[1].places[reaching])
        close = np.isfinite(distances)
        # Real rows only become fewer: what is out of reach now stays so.
        reaching, distances, nearest = reaching[close], distances[close], open_real[nearest[close]]
        if len(reaching) == 0:
            break
        wanted, which = np.unique(nearest, return_inverse=True)
        back = _nearest(sides[1].places[reaching], sides[0].places[wanted])[1]
        mutual = np.flatnonzero(back[which] == np.arange(len(reaching)))
        if len(mutual) == 0:  # a circle of equal distances
            mutual = np.array([distances.argmin()])
        counts = np.minimum(sides[0].free[nearest[mutual]], sides[1].free[reaching[mutual]])
        pairs.append((sides[1].take(reaching[mutual], counts), sides[0].take(nearest[mutual], counts)))
    if not pairs:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs])


def _nearest(places: Points, queries: Points) -> tuple[Points, Indices]:
    # Jittered places are within the caliper only if the rows themselves are.
    distances, found = KDTree(places).query(queries, p=np.inf, distance_upper_bound=1 - 2 * _JITTER)
    return distances, found


def _drops(strata: Strata, points: Sequence[Points], partners: Indices) -> list[StratumDrops]:
    drops = []
    for name, (real_rows, augmented_rows) in zip(strata.names, _by_stratum(strata), strict=True):
        if len(augmented_rows) == 0:
            continue
        left = augmented_rows[partners[augmented_rows] < 0]
        no_real = len(left) if len(real_rows) == 0 else 0
        too_far = 0
        if len(left) and len(real_rows):
            too_far = int(np.isinf(_nearest(points[0][real_rows], points[1][left])[0]).sum())
        drops.append(
            StratumDrops(
                name,
                real=len(real_rows),
                augmented=len(augmented_rows),
                pairs=len(augmented_rows) - len(left),
                no_real=no_real,
                too_far=too_far,
                taken=len(left) - no_real - too_far,
            )
        )
    return drops
