"""Two sweeps side by side: on a terminal, as a self-contained page and as a CSV file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup
from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from mitigate.analysis import ALPHA
from mitigate.files import replace_file
from mitigate.grid import GridAnalysis
from mitigate.grid.compare import SlopeDifference, changed_settings, compare_slopes
from mitigate.report.grid.effects import STAR, two_digits
from mitigate.report.grid.figures import Field, heat_map
from mitigate.report.grid.tables import NOT_TESTABLE, estimate
from mitigate.report.html import load_template
from mitigate.report.numbers import PERCENT_LEVEL, mark_constant, p_value
from mitigate.report.tables import ESTIMATE, Table, digits_of
from mitigate.report.terminal import draw_table
from mitigate.report.verdict import FEW_SEEDS, NAMED, count


class Side(NamedTuple):
    """
    One of two sweeps.

    Args:
        name (`str`):
            What to call it, such as its folder.
        title (`str`):
            Title of its report.
        grid (`GridAnalysis`):
            Its analysis.
        config (`Mapping[str, Any]`):
            Its configuration.
        versions (`Mapping[str, str]`):
            Version by package.
    """

    name: str
    title: str
    grid: GridAnalysis
    config: Mapping[str, Any]
    versions: Mapping[str, str]


def compare_tables(first: Side, second: Side) -> tuple[Table, ...]:
    """
    Tabulate what differs between two sweeps.

    Args:
        first (`Side`):
            A sweep, called A.
        second (`Side`):
            Another, called B.

    Returns:
        `tuple[Table, ...]`: Settings and versions that differ, and slopes.

    Raises:
        ValueError: If they have no arm of a task in common.
    """
    return _settings_table(first, second), _slope_table(compare_slopes(first.grid, second.grid))


def render_comparison(first: Side, second: Side) -> Group:
    """
    Lay out the tables and the verdict of a comparison, for `rich.print`.

    Args:
        first (`Side`):
            A sweep, called A.
        second (`Side`):
            Another, called B.

    Returns:
        `rich.console.Group`: To be printed by any rich console.
    """
    names = Text(f"A: {first.name} ({first.title})\nB: {second.name} ({second.title})\n")
    sentences = [Padding(Text(f"• {sentence}"), (0, 0, 0, 1)) for sentence in compare_verdict(first, second)]
    return Group(names, *(draw_table(table) for table in compare_tables(first, second)), *sentences)


def write_comparison(first: Side, second: Side, path: str | Path) -> None:
    """
    Write a comparison as one HTML file.

    Args:
        first (`Side`):
            A sweep, called A.
        second (`Side`):
            Another, called B.
        path (`str` or `Path`):
            File to write; its folder must exist. It is replaced at once, never half written.
    """
    differences = compare_slopes(first.grid, second.grid)
    page = load_template("compare.html").render(
        title="Two sweeps",
        sides=(first, second),
        sentences=compare_verdict(first, second),
        maps=[(dose, Markup(_map(first.grid, differences, dose))) for dose in sorted({d.dose for d in differences})],
        tables=compare_tables(first, second),
    )
    replace_file(path, page)


def compare_verdict(first: Side, second: Side) -> list[str]:
    """
    Say in plain sentences what differs between two sweeps.

    Args:
        first (`Side`):
            A sweep, called A.
        second (`Side`):
            Another, called B.

    Returns:
        `list[str]`: Findings, what weakens them, and how they were taken.
    """
    differences = compare_slopes(first.grid, second.grid)
    tested = [difference for difference in differences if not math.isnan(difference.p)]
    found = [difference for difference in tested if difference.p_bh <= ALPHA]
    sentences = [_finding(difference) for difference in found]
    same = [difference for difference in differences if difference.difference.estimate == 0]
    if same:
        sentences.append(
            f"{len(same)} of {count(len(differences), 'pair')} of slopes are the same in every digit, as those of "
            "models that both sweeps have are; they are not tested."
        )
    if not tested:
        sentences.append("No difference is tested: a test needs two seeds in either sweep that differ in it.")
    elif not found:
        sentences.append(f"No difference of slopes is detected in {count(len(tested), 'test')}; none is shown absent.")
    few = min(len(side.grid.seeds) for side in (first, second))
    if few < FEW_SEEDS:
        sentences.append(f"Few seeds: {few}, fewer than {FEW_SEEDS}; take every interval and p value as provisional.")
    sentences += _trimmed(differences)
    for name, side in (("A", first), ("B", second)):
        if side.grid.absent:
            sentences.append(
                f"{name} is incomplete: {len(side.grid.absent)} of {side.grid.cells} cells have no result."
            )
    return [*sentences, *_labels(first, second), _method(differences, len(tested))]


def _finding(difference: SlopeDifference) -> str:
    how = "less" if difference.difference.estimate < 0 else "more"
    return (
        f"On {difference.task}, under {_arm(difference.mitigation)} (β = {difference.dose:g}), B inherits {how} than "
        f"A: the slopes differ by {estimate(difference.difference)} per +0.10 of ρ."
    )


def _trimmed(differences: Sequence[SlopeDifference]) -> list[str]:
    by_ratios: dict[tuple[float, ...], list[SlopeDifference]] = {}
    for difference in differences:
        if difference.trimmed:
            by_ratios.setdefault(difference.ratios, []).append(difference)
    sentences = []
    for ratios, found in by_ratios.items():
        arms = list(dict.fromkeys(f"{d.task} ({_arm(d.mitigation)})" for d in found))
        named = ", ".join(arms[:NAMED]) + (f" and {len(arms) - NAMED} more" if len(arms) > NAMED else "")
        shown = f"ρ = {', '.join(f'{ratio:g}' for ratio in ratios)}"
        over = f"slopes are taken over {shown}" if len(ratios) > 1 else "no slope can be compared"
        sentences.append(f"The sweeps do not have the same cells of {named}: {over}, as far as both have them.")
    return sentences


def _labels(first: Side, second: Side) -> list[str]:
    sentences = []
    for task in first.grid.tasks:
        other = next((other for other in second.grid.tasks if other.name == task.name), None)
        labels = [side.description.labels.get("bias", "bias") for side in (task, other) if side]
        if len(set(labels)) > 1:
            sentences.append(f"On {task.name} bias is {labels[0]} in A and {labels[1]} in B: these do not compare.")
    return sentences


def _method(differences: Sequence[SlopeDifference], tests: int) -> str:
    how = "seed by seed" if all(d.paired for d in differences) else "by Welch's test where the sweeps differ in seeds"
    return (
        f"Differences are B − A with {PERCENT_LEVEL} intervals over seeds, taken {how}; p values of "
        f"{count(tests, 'test')} are corrected by the method of Benjamini and Hochberg."
    )


def _settings_table(first: Side, second: Side) -> Table:
    changed = changed_settings(first.config, second.config)
    changed |= {f"version of {name}": pair for name, pair in changed_settings(first.versions, second.versions).items()}
    rows = tuple((name, *(_shown(value) for value in pair)) for name, pair in changed.items())
    return Table(
        "Settings and versions that differ",
        ("key", "A", "B"),
        rows or (("(none)", "", ""),),
        name="settings",
        columns=("key", "A", "B"),
        digits=rows,
    )


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _slope_table(differences: Sequence[SlopeDifference]) -> Table:
    rows = [
        (
            f"{d.task}, {_arm(d.mitigation)} (β = {d.dose:g})",
            estimate(d.first),
            estimate(d.second),
            estimate(d.difference),
            p_value(d.p_bh),
            ", ".join(f"{ratio:g}" for ratio in d.ratios),
            "seed by seed" if d.paired else "Welch",
        )
        for d in differences
    ]
    return Table(
        f"Slope of the bias per +0.10 of ρ, with {PERCENT_LEVEL} intervals over seeds; {NOT_TESTABLE}",
        ("task and arm", "A", "B", "B − A", "p (BH)", "over ρ", "taken"),
        tuple(rows),
        name="differences",
        columns=(
            *("task", "mitigation", "dose"),
            *(f"{name}_{side}" for side in ("A", "B", "difference") for name in ESTIMATE),
            *("paired", "ratios", "p", "p_bh"),
        ),
        digits=tuple(
            (
                *(d.task, d.mitigation, d.dose, *digits_of(d.first), *digits_of(d.second), *digits_of(d.difference)),
                *(d.paired, " ".join(f"{ratio:g}" for ratio in d.ratios), d.p, d.p_bh),
            )
            for d in differences
        ),
    )


def _arm(mitigation: str) -> str:
    return "no mitigation" if mitigation == "none" else mitigation


def _map(grid: GridAnalysis, differences: Sequence[SlopeDifference], dose: float) -> str:
    chosen = {(d.task, d.mitigation): d for d in differences if d.dose == dose}
    arms = list(dict.fromkeys(arm for _, arm in chosen))
    tasks = [task for task in grid.tasks if any(name == task.name for name, _ in chosen)]
    fields = {(task.name, arm): _field(chosen.get((task.name, arm))) for task in tasks for arm in arms}
    titles = [_arm(arm) for arm in arms]
    label = "Heat map of the differences of slopes, B − A; the table below has the same numbers"
    return heat_map(tasks, arms, titles, fields, gap_after_first=False, name=f"compare-{dose:g}", label=label)


def _field(difference: SlopeDifference | None) -> Field:
    if difference is None:
        return Field("", math.nan, False)
    significant = difference.p_bh <= ALPHA
    value = difference.difference.estimate
    mark = STAR if significant else mark_constant(difference.difference)
    return Field(two_digits(value, sign=True) + mark, value / difference.scale, significant)
