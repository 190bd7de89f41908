"""Figures of a sweep over tasks: heat maps, and related tasks against control tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from mitigate.grid import Effect, GridAnalysis, TaskAnalysis
from mitigate.intervals import Interval
from mitigate.report.grid.effects import is_significant, overview_type, shown_effect, task_title
from mitigate.report.numbers import ABSENT
from mitigate.report.svg import COLOURS, INK, STYLE, new_picture, svg_element

WORSE, BETTER = COLOURS[0], COLOURS[1]
# Share of a field's colour that is not the page's, at its strongest: numbers must stay readable, light and dark.
_STRONGEST = 0.68
_LONGEST_NAME = 26  # characters


class Field(NamedTuple):
    """
    One field of a heat map.

    Args:
        text (`str`):
            What is written in it.
        harm (`float`):
            How much worse than nothing it is, which chooses the colour; below 0 if it is better, NaN for none.
        outlined (`bool`):
            Whether it is significant after correction.
    """

    text: str
    harm: float
    outlined: bool


def mitigation_map(grid: GridAnalysis, dose: float) -> str:
    """
    Draw what each arm takes off the slope of each task; the first column is what is inherited without mitigation.

    Args:
        grid (`GridAnalysis`):
            The sweep.
        dose (`float`):
            β of the arms.

    Returns:
        `str`: SVG element.
    """
    kind = overview_type(grid)
    arms = grid.mitigations(dose)
    fields = {
        (task, arm): _field(grid.effect(task, arm, dose, kind))
        for task in (t.name for t in grid.tasks)
        for arm in arms
    }
    label = f"Heat map of tasks and arms at dose {dose:g}; the table below has the same numbers"
    titles = ["inherited" if arm == "none" else arm for arm in arms]
    return heat_map(grid.tasks, arms, titles, fields, gap_after_first=True, name=f"map-{dose:g}", label=label)


def type_map(grid: GridAnalysis, dose: float) -> str:
    """
    Draw what is inherited without mitigation, by task and bias type.

    Args:
        grid (`GridAnalysis`):
            The sweep.
        dose (`float`):
            β of the augmented rows.

    Returns:
        `str`: SVG element.
    """
    types = list(grid.bias_types)
    fields = {(t.name, kind): _field(grid.effect(t.name, "none", dose, kind)) for t in grid.tasks for kind in types}
    label = "Heat map of tasks and bias types, without mitigation; the table below has the same numbers"
    return heat_map(grid.tasks, types, types, fields, gap_after_first=False, name=f"types-{dose:g}", label=label)


def related_figure(grid: GridAnalysis) -> str:
    """
    Draw the standardised slope of every task without mitigation, related tasks above control tasks.

    Args:
        grid (`GridAnalysis`):
            The sweep.

    Returns:
        `str`: SVG element.
    """
    rows = []
    for task in sorted(grid.tasks, key=lambda task: not task.description.related):
        arm = task.arm("none", grid.dose)
        if arm and math.isfinite(task.scale):
            rows.append((task_title(task, _LONGEST_NAME), task.description.related, arm.slope.scaled(1 / task.scale)))
    with mpl.rc_context(STYLE):
        picture = new_picture(6.8, 1.1 + 0.34 * len(rows))
        axes = picture.subplots()
        for place, (_, related, slope) in enumerate(rows):
            _interval(axes, place, slope, WORSE if related else BETTER, "o" if related else "s")
        axes.axvline(0, color=INK, linewidth=0.8, alpha=0.6)
        axes.set_yticks(range(len(rows)), [name for name, _, _ in rows], parse_math=False)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel("slope without mitigation, in SDs between seeds per +0.10 of ρ")
        axes.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)
        axes.tick_params(length=0)
        return svg_element(picture, name="related", label="Slopes of related and control tasks with 95% intervals")


def frontier_figure(grid: GridAnalysis) -> str:
    """
    Draw the change of bias against that of utility for every arm, with 95% intervals and the Pareto front.

    Args:
        grid (`GridAnalysis`):
            The sweep.

    Returns:
        `str`: SVG element.
    """
    with mpl.rc_context(STYLE):
        picture = new_picture(7.2, 4.6)
        axes = picture.subplots()
        for point in grid.frontier:
            colour = COLOURS[2] if point.best else INK
            x, y = point.utility, point.bias
            _cross(axes, x, y, colour)
            size = 7 if point.best else 5
            axes.plot(x.estimate, y.estimate, "o", color=colour, markersize=size, markeredgewidth=0)
        front = sorted((p.utility.estimate, p.bias.estimate) for p in grid.frontier if p.best)
        axes.step(*zip(*front, strict=True), where="pre", color=COLOURS[2], linewidth=1.2, linestyle=(0, (4, 2)))
        # Set by the estimates: with few seeds, intervals of their own length would leave no room to tell arms apart.
        axes.set_xlim(*_room([point.utility.estimate for point in grid.frontier]))
        axes.set_ylim(*_room([point.bias.estimate for point in grid.frontier]))
        _name_points(axes, {p.mitigation: (p.utility.estimate, p.bias.estimate) for p in grid.frontier})
        axes.axhline(0, color=INK, linewidth=0.6, alpha=0.4)
        axes.axvline(0, color=INK, linewidth=0.6, alpha=0.4)
        axes.set_xlabel("change of utility (right is better)")
        axes.set_ylabel("change of bias, SDs between seeds (down is better)")
        axes.grid(color=INK, alpha=0.08, linewidth=0.6)
        return svg_element(picture, name="frontier", label="Change of bias against change of utility by arm")


def _room(values: list[float]) -> tuple[float, float]:
    margin = 0.25 * (max(values) - min(values)) or 0.01
    return min(values) - margin, max(values) + margin


def _field(effect: Effect | None) -> Field:
    if effect is None:
        return Field(ABSENT, math.nan, False)
    # The slope without mitigation is harm as such; what an arm takes off it is the contrary.
    harm = effect.standardised if effect.mitigation == "none" else -effect.standardised
    return Field(shown_effect(effect), harm, is_significant(effect))


def heat_map(
    tasks: Sequence[TaskAnalysis],
    columns: Sequence[str],
    titles: Sequence[str],
    fields: Mapping[tuple[str, str], Field],
    *,
    gap_after_first: bool,
    name: str,
    label: str,
) -> str:
    """
    Draw fields of tasks and columns, related tasks above control tasks.

    Args:
        tasks (`Sequence[TaskAnalysis]`):
            The rows.
        columns (`Sequence[str]`):
            The columns.
        titles (`Sequence[str]`):
            What is written above each column.
        fields (`Mapping[tuple[str, str], Field]`):
            Field by task and column.
        gap_after_first (`bool`):
            Whether the first column stands apart.
        name (`str`):
            Tells the figure from others of the page.
        label (`str`):
            What it shows, for those who cannot see it.

    Returns:
        `str`: SVG element.
    """
    rows = sorted(tasks, key=lambda task: not task.description.related)
    places = [number + (0.25 if gap_after_first and number else 0) for number in range(len(columns))]
    with mpl.rc_context(STYLE):
        picture = new_picture(2.4 + 0.68 * len(columns), 1.2 + 0.36 * len(rows))
        axes = picture.subplots()
        for y, task in enumerate(rows):
            for x, column in zip(places, columns, strict=True):
                _draw_field(axes, x, y, fields[task.name, column])
        axes.set_xlim(-0.52, places[-1] + 0.52)
        axes.set_ylim(len(rows) - 0.48, -0.52)
        short = [title if len(title) <= _LONGEST_NAME else f"{title[: _LONGEST_NAME - 1]}…" for title in titles]
        axes.set_xticks(places, short, rotation=32, ha="left", rotation_mode="anchor", parse_math=False)
        axes.xaxis.tick_top()
        axes.set_yticks(range(len(rows)), [task_title(task, _LONGEST_NAME) for task in rows], parse_math=False)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        return svg_element(picture, name=name, label=label)


def _draw_field(axes: Axes, x: float, y: float, field: Field) -> None:
    # The same scale in all figures: one that grew with the largest field would paint noise as strongly as findings.
    strength = min(1.0, abs(field.harm)) * _STRONGEST if math.isfinite(field.harm) else 0.0
    colour = to_rgba(WORSE if field.harm > 0 else BETTER, strength)
    axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=colour, edgecolor="none"))
    if field.outlined:
        axes.add_patch(Rectangle((x - 0.46, y - 0.43), 0.92, 0.86, fill=False, edgecolor=INK, linewidth=1.5))
    axes.text(x, y, field.text, ha="center", va="center", fontsize=8.5, parse_math=False)


def _interval(axes: Axes, place: float, interval: Interval, colour: str, marker: str) -> None:
    if math.isfinite(interval.low):
        axes.plot([interval.low, interval.high], [place, place], color=colour, linewidth=1.6, alpha=0.7)
    axes.plot(interval.estimate, place, marker, color=colour, markersize=6, markeredgewidth=0)


def _cross(axes: Axes, x: Interval, y: Interval, colour: str) -> None:
    if math.isfinite(x.low):
        axes.plot([x.low, x.high], [y.estimate, y.estimate], color=colour, linewidth=0.9, alpha=0.45)
    if math.isfinite(y.low):
        axes.plot([x.estimate, x.estimate], [y.low, y.high], color=colour, linewidth=0.9, alpha=0.45)


def _name_points(axes: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Write names beside their points, in turn above and below where points lie close."""
    for number, (name, place) in enumerate(sorted(points.items(), key=lambda item: item[1])):
        above = number % 2 == 0
        shown = "no mitigation" if name == "none" else name
        short = shown if len(shown) <= _LONGEST_NAME else f"{shown[: _LONGEST_NAME - 1]}…"
        axes.annotate(
            short,
            place,
            xytext=(5, 6 if above else -6),
            textcoords="offset points",
            va="bottom" if above else "top",
            fontsize=8.5,
            parse_math=False,
        )
