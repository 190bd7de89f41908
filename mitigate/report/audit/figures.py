"""Figures of an audit: a map of rows, groups side by side, and answers side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from mitigate.misalignment import Answers, GroupMisalignment
from mitigate.misalignment.features import FeatureMap
from mitigate.report.svg import COLOURS, INK, STYLE, new_picture, svg_element

REAL, AUGMENTED = COLOURS[1], COLOURS[0]
WIDTH = 6.2  # inches
# Groups or options with bars of their own, and the width of a line of their names.
BARS = 10
_LINE = 30  # characters


def map_figure(feature_map: FeatureMap) -> str:
    """
    Draw rows in two dimensions.

    Args:
        feature_map (`FeatureMap`):
            The rows.

    Returns:
        `str`: SVG element.
    """
    with mpl.rc_context(STYLE):
        picture = new_picture(WIDTH, 4.6)
        axes = picture.subplots()
        sides = (("real", feature_map.real, REAL, "o"), ("augmented", feature_map.augmented, AUGMENTED, "^"))
        for name, places, colour, marker in sides:
            x, y = zip(*places, strict=True)
            axes.scatter(x, y, s=14, c=colour, marker=marker, alpha=0.5, linewidths=0, label=name)
        for axis, place, share in zip("xy", ("first", "second"), feature_map.explained, strict=True):
            getattr(axes, f"set_{axis}label")(f"{place} principal component ({share:.0%} of the variance)")
        axes.set_xticks([])
        axes.set_yticks([])
        _legend(axes)
        return svg_element(picture, name="map", label="Real and augmented rows in two dimensions")


def group_figure(groups: GroupMisalignment) -> str:
    """
    Draw the shares of the groups, the most frequent ones first.

    Args:
        groups (`GroupMisalignment`):
            The groups.

    Returns:
        `str`: SVG element.
    """
    order = sorted(range(len(groups.groups)), key=lambda k: -(groups.real[k] + groups.augmented[k]))
    names = [groups.groups[k] for k in order]
    shares = [[side[k] for k in order] for side in (groups.real, groups.augmented)]
    label = "Shares of groups among real and augmented rows"
    return _bar_figure(names, shares, ("real", "augmented"), "share of the rows of known group", "groups", label)


def answer_figure(answer: Answers, number: int) -> str:
    """
    Draw the answers of people and of the generator to one question.

    Args:
        answer (`Answers`):
            The question.
        number (`int`):
            Which of the questions of a page it is.

    Returns:
        `str`: SVG element, without the question.
    """
    shares = [[share / sum(side) for share in side] for side in (answer.human, answer.augmented)]
    label = f"Answers of people and of the generator, {answer.culture}"
    return _bar_figure(answer.options, shares, ("people", "generator"), "share of answers", f"answers-{number}", label)


def _bar_figure(
    names: Sequence[str],
    shares: Sequence[Sequence[float]],
    sides: tuple[str, str],
    unit: str,
    element: str,
    label: str,
) -> str:
    """Draw two bars for each name, in the given order; the smallest share one pair of bars where there are many."""
    order = sorted(range(len(names)), key=lambda k: -max(side[k] for side in shares))
    kept, rest = sorted(order[:BARS]), order[BARS:]
    shown = [_shorten(names[k]) for k in kept] + ([f"({len(rest)} more)"] if rest else [])
    values = [[side[k] for k in kept] + ([sum(side[k] for k in rest)] if rest else []) for side in shares]
    with mpl.rc_context(STYLE):
        picture = new_picture(WIDTH, 1.0 + 0.4 * len(shown))
        axes = picture.subplots()
        _bars(axes, shown, values, sides)
        axes.set_xlabel(unit)
        _legend(axes)
        return svg_element(picture, name=element, label=label)


def _bars(axes: Axes, names: Sequence[str], shares: Sequence[Sequence[float]], sides: tuple[str, str]) -> None:
    places = np.arange(len(names))
    for side, values, colour, offset in zip(sides, shares, (REAL, AUGMENTED), (-0.2, 0.2), strict=True):
        axes.barh(places + offset, values, height=0.38, color=colour, label=side)
        for place, value in zip(places, values, strict=True):
            axes.text(value + 0.01, place + offset, f"{value:.0%}", va="center", fontsize=8.5)
    axes.set_yticks(places, names, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.08)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
    axes.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)


def _legend(axes: Axes) -> None:
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2, markerscale=1.8)


def _shorten(text: str) -> str:
    """Break a long name into two lines, and cut what does not fit into them."""
    return "\n".join(textwrap.wrap(" ".join(text.split()), _LINE, max_lines=2, placeholder=" …"))
