"""Cells of tables in Markdown, and the tables of sweeps over tasks, as `docs/validity.md` has them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from statsmodels.stats.proportion import proportion_confint
from validity_grids import (
    ALONE,
    CONTRARY,
    COST,
    DIFFERENCE,
    EFFECT,
    FIELD,
    INHERITED,
    LESS,
    MIXED,
    MORE,
    NULL,
    OWN,
    SLOPE,
    TAKEN,
    TRUE,
    GridJudgement,
    Judged,
    World,
)

from mitigate import stats
from mitigate.intervals import Interval

WANTED_COVERAGE = (0.93, 0.97)
OUTSIDE = "†"


def rate(hits: Sequence[bool | None]) -> str:
    """Format a share in per cent with the interval of Clopper and Pearson; what is `None` was not tested."""
    tested = [bool(hit) for hit in hits if hit is not None]
    if not tested:
        return "not tested"
    low, high = proportion_confint(sum(tested), len(tested), method="beta")
    untested = f", not tested in {len(hits) - len(tested)}" if len(tested) < len(hits) else ""
    return f"{100 * np.mean(tested):.1f}% ({100 * low:.1f}–{100 * high:.1f}){untested}"


def coverage(hits: Sequence[bool | None]) -> str:
    """Format how often an interval holds the truth, with a mark if that is not what was wanted."""
    defined = [hit for hit in hits if hit is not None]
    if not defined:
        return "–"
    text = rate(hits).replace("not tested", "undefined")
    low, high = WANTED_COVERAGE
    return text if low <= round(float(np.mean(defined)), 3) <= high else f"{text} {OUTSIDE}"


def mean_share(shares: Sequence[float]) -> str:
    """Format a mean of shares in per cent with its t interval."""
    mean = stats.mean_interval(shares)
    if math.isnan(mean.low):
        return f"{100 * mean.estimate:.1f}%"
    return f"{100 * mean.estimate:.1f}% ({100 * max(0.0, mean.low):.1f}–{100 * min(1.0, mean.high):.1f})"


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [headings, ["---"] * len(headings), *rows])


def false_alarm_table(judged: Judged) -> str:
    """Tell how often a verdict on a grid finds what is not there."""
    rows = [
        (f"**verdict “{INHERITED}”**", NULL, "≤ 2.5%", INHERITED),
        ("the same or the contrary", NULL, "≤ 5%", INHERITED + CONTRARY),
        ("its t test, without Holm’s correction", NULL, "5%", INHERITED + ALONE),
        (f"**verdict “{MORE}”**", NULL, "≤ 2.5%", MORE),
        ("its t test, without Holm’s correction", NULL, "5%", MORE + ALONE),
        (f"**verdict “{MORE}”**", COST, "≤ 2.5%", MORE),
        ("its t test, without Holm’s correction", COST, "5%", MORE + ALONE),
        ("**verdict that a mitigation inherits less**, any of four", NULL, "≤ 2.5%", "mitigation"),
        ("verdict that loss, which does nothing, inherits less, any of two", EFFECT, "≤ 2.5%", "loss"),
        ("any named hypothesis or its contrary", NULL, "≤ 5%", "any"),
        ("**any star in the heat map**", NULL, "≤ 5%", "star"),
        ("share of false stars among the stars", EFFECT, "≤ 5%", "false stars"),
        (MIXED, NULL, "5%", "mixed"),
        ("share of fields without a test", NULL, "–", "untested"),
    ]
    return _table(judged, rows)


def grid_power_table(judged: Judged) -> str:
    """Tell how often a verdict on a grid finds what is there."""
    rows = [
        (f"**verdict “{INHERITED}”**", EFFECT, "", INHERITED),
        ("its t test, without Holm’s correction", EFFECT, "", INHERITED + ALONE),
        (f"**verdict “{MORE}”**", EFFECT, "", MORE),
        (f"**verdict “{LESS}”**", EFFECT, "", LESS),
        ("share of stars in the fields that have an effect", EFFECT, "", "stars"),
        (MIXED, EFFECT, "", "mixed"),
    ]
    return _table(judged, rows)


def _table(judged: Judged, rows: Sequence[tuple[str, World, str, str]]) -> str:
    columns = list(judged[NULL.name])
    wanted = any(row[2] for row in rows)
    headings = ["finding", "truth", *(["wanted"] if wanted else []), *columns]
    return markdown(
        headings,
        [
            [label, world.name, *([want] if wanted else []), *_cells(judged[world.name], columns, key)]
            for label, world, want, key in rows
        ],
    )


def _cells(judged: dict[str, list[GridJudgement]], columns: Sequence[str], key: str) -> Iterator[str]:
    for column in columns:
        found = judged.get(column, [])
        if found and key in found[0].shares:
            yield mean_share([each.shares[key] for each in found])
        else:
            yield rate([each.found.get(key) for each in found])


def grid_coverage_table(judged: Judged) -> str:
    """Tell how often the intervals of a grid hold the truth."""
    columns = list(judged[NULL.name])
    rows = []
    for name, worlds in (
        (SLOPE + OWN, (NULL, EFFECT)),
        (SLOPE + TRUE, (EFFECT,)),  # 0 is 0 in any unit
        (TAKEN + OWN, (NULL, EFFECT)),
        (TAKEN + TRUE, (EFFECT,)),
        (FIELD, (NULL, EFFECT)),
        (DIFFERENCE, (NULL, EFFECT, COST)),
        (MIXED, (NULL, EFFECT)),
    ):
        for world in worlds:
            found = [judged[world.name].get(column, []) for column in columns]
            cells = [coverage([_holds(each.intervals.get(name)) for each in column]) for column in found]
            rows.append([name, world.name, *cells])
    return markdown(["95% interval", "truth", *columns], rows)


def _holds(pair: tuple[Interval, float] | None) -> bool | None:
    if pair is None or math.isnan(pair[0].low):
        return None
    return pair[0].low <= pair[1] <= pair[0].high
