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
# Groups with a bar of their own.
BARS = 12
_LINE = 34  # characters


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
    kept, rest = order[:BARS], order[BARS:]
    names = [groups.groups[k] for k in kept]
    shares = [[side[k] for k in kept] for side in (groups.real, groups.augmented)]
    if rest:
        names.append(f"({len(rest)} more)")
        for side, all_shares in zip(shares, (groups.real, groups.augmented), strict=True):
            side.append(sum(all_shares[k] for k in rest))
    with mpl.rc_context(STYLE):
        picture = new_picture(WIDTH, 1.1 + 0.42 * len(names))
        axes = picture.subplots()
        _bars(axes, names, shares, ("real", "augmented"))
        axes.set_xlabel("share of the rows of known group")
        _legend(axes)
        return svg_element(picture, name="groups", label="Shares of groups among real and augmented rows")


def answer_figure(answers: Sequence[Answers]) -> str:
    """
    Draw distributions of answers of people and of the generator, one panel a question.

    Args:
        answers (`Sequence[Answers]`):
            The questions, at least one.

    Returns:
        `str`: SVG element.
    """
    titles = [f"{answer.culture}: {_shorten(answer.question, 3 * _LINE)}" for answer in answers]
    heights = [1.2 + 0.42 * len(answer.options) for answer in answers]
    with mpl.rc_context(STYLE):
        picture = new_picture(WIDTH, sum(heights))
        panels = picture.subplots(len(answers), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axes, answer, title in zip(panels, answers, titles, strict=True):
            shares = [[share / sum(side) for share in side] for side in (answer.human, answer.augmented)]
            _bars(axes, [_shorten(option, _LINE) for option in answer.options], shares, ("people", "generator"))
            axes.set_title("\n".join(textwrap.wrap(title, 2 * _LINE)), loc="left", fontsize=9.5, parse_math=False)
        panels[-1].set_xlabel("share of answers")
        _legend(panels[0])
        return svg_element(picture, name="answers", label="Answers of people and of the generator")


def _bars(axes: Axes, names: Sequence[str], shares: Sequence[Sequence[float]], sides: tuple[str, str]) -> None:
    places = np.arange(len(names))
    for side, values, colour, offset in zip(sides, shares, (REAL, AUGMENTED), (-0.2, 0.2), strict=True):
        axes.barh(places + offset, values, height=0.38, color=colour, label=side)
        for place, value in zip(places, values, strict=True):
            axes.text(value + 0.01, place + offset, f"{value:.0%}", va="center", fontsize=8.5)
    axes.set_yticks(places, [_shorten(name, _LINE) for name in names], parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.08)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
    axes.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)


def _legend(axes: Axes) -> None:
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)


def _shorten(text: str, width: int) -> str:
    return textwrap.shorten(text, width, placeholder=" …") if len(text) > width else text
