"""Tables of an audit: rows of text for the terminal and the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from mitigate.intervals import Interval
from mitigate.misalignment import Audit, GroupMisalignment, SurfaceMisalignment
from mitigate.misalignment.distributions import Distances, DistributionMisalignment
from mitigate.misalignment.surface import SEQUENCES, Pair
from mitigate.report.numbers import ABSENT, PERCENT_LEVEL, bounds, number, p_value
from mitigate.report.tables import Table

# Rows of a table; the JSON file has all.
SHOWN = 20


def audit_tables(audit: Audit) -> list[Table]:
    """
    Tabulate an audit.

    Args:
        audit (`Audit`):
            As returned by [`mitigate.misalignment.audit`].

    Returns:
        `list[Table]`: Of values, groups, distributions, labels and surface, as far as they were measured.
    """
    tables = [_values(audit)] if audit.values else []
    if audit.groups:
        tables += [_shares(audit.groups), _group_distances(audit.groups)]
    tables.append(_distances(audit.distributions))
    if audit.distributions.labels:
        tables.append(_labels(audit.distributions))
    tables.append(_surface(audit.surface, "all rows"))
    if audit.surface_within_label:
        tables.append(_surface(audit.surface_within_label, "means over labels"))
    return tables


def _values(audit: Audit) -> Table:
    ordered = not math.isnan(audit.values[0].ordered_distance)
    rows = [
        (
            value.culture,
            f"{value.questions}",
            number(value.distance, 3),
            number(value.floor, 3),
            _with_bounds(value.excess, 3),
            *([number(value.ordered_distance, 3)] if ordered else []),
        )
        for value in audit.values
    ]
    return Table(
        f"Values: Jensen–Shannon distance (base 2) of answers from people's, 0 to 1, with {PERCENT_LEVEL} intervals "
        "over questions",
        ("culture", "questions", "distance", "floor", "above floor", *(["ordered distance"] if ordered else [])),
        _cut(rows),
    )


def _shares(groups: GroupMisalignment) -> Table:
    rows = [
        (name, _percent(real), _percent(augmented), _points(augmented - real))
        for name, real, augmented in zip(groups.groups, groups.real, groups.augmented, strict=True)
    ]
    unknown = (
        "(unknown, of all rows)",
        *map(_percent, groups.unknown),
        _points(groups.unknown[1] - groups.unknown[0]),
    )
    return Table(
        "Groups: share of the rows of known group",
        ("group", "real", "augmented", "difference"),
        (*_cut(rows), unknown),
    )


def _group_distances(groups: GroupMisalignment) -> Table:
    measures = (
        ("total variation of shares", groups.pooled, groups.chance, groups.p),
        ("the same within labels", groups.within_label, groups.within_chance, groups.within_p),
        ("Cramér's V of group and label, augmented − real", groups.association, None, None),
    )
    rows = tuple(
        (
            name,
            _with_bounds(interval, 3),
            ABSENT if chance is None else number(chance, 3),
            ABSENT if p is None else p_value(p),
        )
        for name, interval, chance, p in measures
        if interval is not None
    )
    return Table("Groups: distances", ("measure", f"value [{PERCENT_LEVEL}]", "by chance", "p"), rows)


def _distances(measured: DistributionMisalignment) -> Table:
    columns = [measured.pooled, *([measured.within_label] if measured.within_label else [])]
    parts = [list(_distance_rows(distances)) for distances in columns]
    rows = tuple((cells[0][0], *(value for _, value in cells)) for cells in zip(*parts, strict=True))
    header = ("measure", "all rows", "within labels")[: len(columns) + 1]
    permuted, classified = (
        f"{real:,} + {augmented:,}" for real, augmented in (measured.permuted, measured.classified)
    )
    return Table(
        f"Distributions in {measured.features}. Of all rows, MMD, energy and CORAL use every one, p a subsample of "
        f"{permuted} with {measured.permutations:,} permutations, AUC {classified}",
        header,
        rows,
    )


def _distance_rows(distances: Distances) -> Iterator[tuple[str, str]]:
    yield "MMD², unbiased", _with_bounds(distances.mmd, 4)
    yield "p of MMD (± its standard error)", f"{p_value(distances.p)} ± {_significant(distances.p_error)}"
    yield "classifier AUC", _with_bounds(distances.auc, 3)
    yield "M = 2 |AUC − 0.5|", _with_bounds(distances.separability, 3)
    yield "energy distance", _with_bounds(distances.energy, 4)
    yield "CORAL (by chance)", f"{_significant(distances.coral)} ({_significant(distances.coral_chance)})"


def _labels(measured: DistributionMisalignment) -> Table:
    rows = [
        (
            part.label,
            f"{part.real:,}",
            f"{part.augmented:,}",
            _with_bounds(part.mmd, 4),
            _with_bounds(part.separability, 3),
        )
        for part in sorted(measured.labels, key=lambda part: -part.mmd.estimate)
    ]
    return Table(
        "Distributions by label, farthest first",
        ("label", "real", "augmented", "MMD²", "M = 2 |AUC − 0.5|"),
        _cut(rows),
    )


def _surface(surface: SurfaceMisalignment, where: str) -> Table:
    def row(name: str, pair: Pair, difference: str = "") -> tuple[str, ...]:
        difference = difference or number(pair.augmented - pair.real, 3, sign=True)
        return name, number(pair.real, 3), number(pair.augmented, 3), difference

    length = surface.length
    rows = [
        (
            "length, tokens",
            number(length.real, 1),
            number(length.augmented, 1),
            _with_bounds(surface.length_difference, 1, sign=True),
        ),
        (
            "length, Kolmogorov–Smirnov",
            ABSENT,
            ABSENT,
            number(surface.length_ks, 3)
            + ("" if math.isnan(surface.length_p) else f" (p {p_value(surface.length_p)})"),
        ),
        (
            "words, Jensen–Shannon distance",
            ABSENT,
            ABSENT,
            f"{number(surface.words, 3)} (by chance {number(surface.words_chance, 3)})",
        ),
        *(row(f"distinct-{n}", pair) for n, pair in zip(SEQUENCES, surface.distinct, strict=True)),
        row("repeated templates", surface.templates),
    ]
    texts = f"{surface.texts[0]:,} real and {surface.texts[1]:,} augmented texts"
    return Table(
        f"Surface of {texts}, {where}. Distinct-n and templates in {surface.tokens:,} tokens of either side; "
        f"templates of {surface.tags}",
        ("measure", "real", "augmented", "difference"),
        tuple(rows),
    )


def _cut(rows: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    if len(rows) <= SHOWN:
        return tuple(rows)
    more = (f"({len(rows) - SHOWN} more)", *([""] * (len(rows[0]) - 1)))
    return (*rows[:SHOWN], more)


def _with_bounds(interval: Interval, places: int, *, sign: bool = False) -> str:
    estimate = number(interval.estimate, places, sign=sign)
    return estimate if math.isnan(interval.low) else f"{estimate} {bounds(interval, places)}"


def _percent(share: float) -> str:
    return f"{number(share * 100, 1)}%"


def _points(difference: float) -> str:
    return f"{number(difference * 100, 1, sign=True)} points"


def _significant(value: float) -> str:
    return f"{value:.2g}".replace("-", "−")
