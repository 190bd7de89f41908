"""Tables of an analysis: rows of text for the terminal and the page, and a CSV file with every digit."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mitigate.analysis import Analysis, Arm
from mitigate.intervals import Interval
from mitigate.report.numbers import ABSENT, decimals, p_value, plus_minus, share, with_bounds
from mitigate.report.verdict import arm_name

COLUMNS = ("mitigation", "dose", "quantity", "bias_ratio", "estimate", "low", "high", "n", "p", "p_holm")


@dataclass(frozen=True)
class Table:
    """
    A table of text.

    Args:
        caption (`str`):
            What the numbers are, with their unit.
        header (`tuple[str, ...]`):
            Names of the columns; the first names the arms.
        rows (`tuple[tuple[str, ...], ...]`):
            One row per arm.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def curve_table(analysis: Analysis, metric: str) -> Table:
    """Tabulate one metric: a row per arm, a column per bias ratio, mean and half width of the 95% interval."""
    places = decimals(analysis)
    digits = places.utility if metric == "utility" else places.bias
    rows = []
    for arm in analysis.arms:
        at = {point.bias_ratio: plus_minus(point.interval, digits) for point in arm.curves.get(metric, ())}
        rows.append((arm_name(arm), *(at.get(ratio, ABSENT) for ratio in analysis.ratios)))
    header = ("arm", *(f"ρ = {ratio:g}" for ratio in analysis.ratios))
    return Table(f"{analysis.label(metric)}: mean ± half width of the 95% interval over seeds", header, tuple(rows))


def slope_table(analysis: Analysis) -> Table:
    """Tabulate slopes, tests, removed shares and the cost in utility: a row per arm."""
    places = decimals(analysis)
    rows = []
    for arm in analysis.arms:
        compared = arm.comparison
        rows.append(
            (
                arm_name(arm),
                with_bounds(arm.slope, places.slope),
                p_value(arm.p_holm),
                with_bounds(compared.slope.interval, places.slope) if compared else ABSENT,
                p_value(compared.slope.p_holm) if compared else ABSENT,
                share(compared.removed) if compared else ABSENT,
                with_bounds(compared.utility, places.utility) if compared else ABSENT,
            )
        )
    header = (
        "arm",
        "slope",
        "p (Holm)",
        "none − arm",
        "p (Holm)",
        "removed",
        f"{analysis.label('utility')} − none",
    )
    return Table(
        f"Slope of the {analysis.label('bias')} per +0.10 of ρ, and each arm against no mitigation",
        header,
        tuple(rows),
    )


def subgroup_tables(analysis: Analysis) -> list[Table]:
    """Tabulate every further metric, such as the bias of each country, as [`curve_table`] does."""
    names = {name for arm in analysis.arms for name in arm.curves} - {"bias", "utility"}
    return [curve_table(analysis, name) for name in sorted(names)]


def write_table(analysis: Analysis, path: str | Path) -> None:
    """
    Write every estimate of an analysis to a CSV file: the same bytes for the same records in any order.

    Numbers have all their digits and nothing depends on time or place, so that two runs of a sweep can be compared bit
    for bit. Slopes and their contrasts are per +0.10 of ρ.

    Args:
        analysis (`Analysis`):
            As returned by [`mitigate.analysis.analyse`].
        path (`str` or `Path`):
            File to write; its folder must exist. It is replaced at once, never half written.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for arm in analysis.arms:
        writer.writerows((arm.mitigation, repr(arm.dose), *row) for row in _long_rows(arm))
    replace_file(path, buffer.getvalue())


def _long_rows(arm: Arm) -> Iterator[tuple[str, ...]]:
    for metric, points in arm.curves.items():
        for point in points:
            yield (metric, repr(point.bias_ratio), *_digits(point.interval), "", "")
    yield ("slope", "", *_digits(arm.slope), repr(arm.p), repr(arm.p_holm))
    yield ("trend", "", *_digits(arm.trend), "", "")
    if arm.content:
        yield ("slope - null arm", "", *_digits(arm.content.interval), repr(arm.content.p), repr(arm.content.p_holm))
    if arm.control:
        yield ("control - slope", "", *_digits(arm.control.interval), repr(arm.control.p), repr(arm.control.p_holm))
    compared = arm.comparison
    if compared:
        contrast, ratio = compared.slope, repr(compared.bias_ratio)
        yield ("none - slope", "", *_digits(contrast.interval), repr(contrast.p), repr(contrast.p_holm))
        yield ("utility - none", ratio, *_digits(compared.utility), "", "")
        if compared.removed:
            yield ("removed", ratio, *_digits(compared.removed), "", "")


def _digits(interval: Interval) -> tuple[str, ...]:
    return repr(interval.estimate), repr(interval.low), repr(interval.high), str(interval.n)


def replace_file(path: str | Path, text: str) -> None:
    """Write a text file under a temporary name and then rename it, so that a reader never sees half of it."""
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
