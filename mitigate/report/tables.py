"""Tables of an analysis: rows of text for the terminal and the page, and a CSV file with every digit."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mitigate.analysis import Analysis, Arm
from mitigate.cells import DATA_BIAS
from mitigate.files import replace_file
from mitigate.intervals import Interval
from mitigate.report.numbers import ABSENT, decimals, p_value, plus_minus, share, with_bounds
from mitigate.report.verdict import arm_name

ESTIMATE = ("estimate", "low", "high", "n")
COLUMNS = ("mitigation", "dose", "quantity", "bias_ratio", *ESTIMATE, "p", "p_holm")
_COEFFICIENT = "inheritance coefficient"
_TREND_PLACES = 2


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
        name (`str`, *optional*, defaults to `""`):
            Name of its CSV file, without ending; without one there is none.
        columns (`tuple[str, ...]`, *optional*):
            Names of the columns of the file.
        digits (`tuple[tuple[Any, ...], ...]`, *optional*):
            Rows of the file: the same numbers with all their digits.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    name: str = ""
    columns: tuple[str, ...] = ()
    digits: tuple[tuple[Any, ...], ...] = ()

    @property
    def file(self) -> str:
        """Name of the file, of letters, digits, points, hyphens and underscores."""
        return re.sub(r"[^\w.-]+", "-", self.name) + ".csv"

    @property
    def csv(self) -> str:
        """The file. Numbers have all their digits; what could not be told is `nan`."""
        return csv_text(self.columns, self.digits)

    @property
    def link(self) -> str:
        """The file as a `data:` address, so that a page can hand it out without any other file."""
        return f"data:text/csv;charset=utf-8;base64,{base64.b64encode(self.csv.encode()).decode()}"


def curve_table(analysis: Analysis, metric: str) -> Table:
    """Tabulate one metric: a row per arm, a column per bias ratio, mean and half width of the 95% interval."""
    places = decimals(analysis)
    digits = places.utility if metric == "utility" else places.bias
    rows = []
    for arm in analysis.arms:
        at = {point.bias_ratio: plus_minus(point.interval, digits) for point in arm.curves.get(metric, ())}
        rows.append((arm_name(arm), *(at.get(ratio, ABSENT) for ratio in analysis.ratios)))
    header = ("arm", *(f"ρ = {ratio:g}" for ratio in analysis.ratios))
    return Table(
        f"{analysis.label(metric)}: mean ± half width of the 95% interval over seeds",
        header,
        tuple(rows),
        name=metric,
        columns=("mitigation", "dose", "bias_ratio", *ESTIMATE),
        digits=tuple(
            (arm.mitigation, arm.dose, point.bias_ratio, *digits_of(point.interval))
            for arm in analysis.arms
            for point in arm.curves.get(metric, ())
        ),
    )


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
        name="slopes",
        columns=COLUMNS,
        digits=tuple(row for arm in analysis.arms for row in _test_rows(arm)),
    )


def trend_table(analysis: Analysis) -> Table:
    """Tabulate whether bias rises with the bias ratio, and, where that of the rows is known, in what proportion."""
    known = any(arm.coefficient for arm in analysis.arms)
    rows = []
    for arm in analysis.arms:
        trend = (with_bounds(arm.trend, _TREND_PLACES), p_value(arm.trend_p))
        coefficient = with_bounds(arm.coefficient, _TREND_PLACES) if arm.coefficient else ABSENT
        rows.append((arm_name(arm), *trend, *([coefficient] if known else [])))
    return Table(
        f"Rank correlation of the {analysis.label('bias')} and ρ within seeds, its test, not corrected"
        + (f"; and the inherited shift per shift of the {analysis.label(DATA_BIAS)}" if known else ""),
        ("arm", "trend", "p", *(["inheritance coefficient"] if known else [])),
        tuple(rows),
        name="trends",
        columns=COLUMNS,
        digits=tuple(row for arm in analysis.arms for row in _test_rows(arm) if row[2] in ("trend", _COEFFICIENT)),
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
    rows = [row for arm in analysis.arms for row in (*_curve_rows(arm), *_test_rows(arm))]
    replace_file(path, csv_text(COLUMNS, rows))


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """
    Write rows as CSV, with all digits of their numbers.

    Args:
        columns (`Sequence[str]`):
            Names of the columns.
        rows (`Iterable[Sequence[Any]]`):
            The rows, of texts and numbers.

    Returns:
        `str`: The file.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([repr(cell) if isinstance(cell, float) else cell for cell in row] for row in rows)
    return buffer.getvalue()


def digits_of(interval: Interval) -> tuple[float, float, float, int]:
    """Give an interval as four cells of a CSV file."""
    return interval.estimate, interval.low, interval.high, interval.n


def _curve_rows(arm: Arm) -> Iterator[tuple[Any, ...]]:
    for metric, points in arm.curves.items():
        for point in points:
            yield (arm.mitigation, arm.dose, metric, point.bias_ratio, *digits_of(point.interval), "", "")


def _test_rows(arm: Arm) -> Iterator[tuple[Any, ...]]:
    def row(
        quantity: str, interval: Interval, ratio: float | str = "", p: Any = "", holm: Any = ""
    ) -> tuple[Any, ...]:
        return (arm.mitigation, arm.dose, quantity, ratio, *digits_of(interval), p, holm)

    yield row("slope", arm.slope, "", arm.p, arm.p_holm)
    yield row("trend", arm.trend, "", arm.trend_p)
    if arm.coefficient:
        yield row(_COEFFICIENT, arm.coefficient, arm.curves["bias"][-1].bias_ratio)
    compared = arm.comparison
    contrasts = {
        "slope - null arm": arm.content,
        "control - slope": arm.control,
        "none - slope": compared.slope if compared else None,
    }
    for name, contrast in contrasts.items():
        if contrast:
            yield row(name, contrast.interval, "", contrast.p, contrast.p_holm)
    if compared:
        yield row("utility - none", compared.utility, compared.bias_ratio)
        if compared.removed:
            yield row("removed", compared.removed, compared.bias_ratio)
