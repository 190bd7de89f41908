"""Inheritance curves as an SVG picture: deterministic, for the page and for a README."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from mitigate.analysis import Analysis, Arm
from mitigate.cells import CONTROL
from mitigate.report.svg import COLOURS, INK, MARKERS, STYLE, new_picture, svg_element, svg_file

KNOWN = ("none", "mask", "token", "loss", "drop", "token-paired")
NULL_COLOUR = "#8C8C8C"
PANEL = (5.2, 3.7)  # inches
LONGEST_NAME = 24
NAME_HEIGHT = 0.19  # inches


def figure(
    analysis: Analysis,
    *,
    dose: float | None = None,
    panels: Sequence[str] = ("bias", "utility"),
    standalone: bool = True,
    prefix: str = "",
) -> str:
    """
    Draw the inheritance curves: mean and 95% band over seeds for every mitigation, and the null arm dashed in grey.

    A control is dotted in the colour of its mitigation, without a band.

    Args:
        analysis (`Analysis`):
            As returned by [`mitigate.analysis.analyse`].
        dose (`float`, *optional*):
            The dose β to draw besides the null arm; by default the largest.
        panels (`Sequence[str]`, *optional*, defaults to `("bias", "utility")`):
            Metrics, one panel each, from left to right.
        standalone (`bool`, *optional*, defaults to `True`):
            Whether the picture is a file of its own, on white; otherwise it is an element for a page, without
            background and with text in the page's colour.
        prefix (`str`, *optional*, defaults to `""`):
            Tells the element from those of other analyses on the page, in letters, digits and hyphens.

    Returns:
        `str`: SVG; the same bytes for the same analysis and matplotlib version.
    """
    with mpl.rc_context(STYLE):
        arms = _drawn(analysis, dose)
        picture = new_picture(PANEL[0] * len(panels), max(PANEL[1], NAME_HEIGHT * len(arms) + 1))
        for axes, metric in zip(np.ravel(picture.subplots(1, len(panels))), panels, strict=True):
            _panel(axes, analysis, arms, metric)
        if standalone:
            return svg_file(picture)
        name = f"{prefix}{'-'.join(panels)}-{arms[0].dose:g}"
        return svg_element(picture, name=name, label=f"{' and '.join(panels)} over the bias ratio")


def write_figure(analysis: Analysis, path: str | Path) -> None:
    """
    Write [`figure`] to an SVG file, such as the picture of a README.

    Args:
        analysis (`Analysis`):
            As returned by [`mitigate.analysis.analyse`].
        path (`str` or `Path`):
            File to write; its folder must exist.
    """
    Path(path).write_text(figure(analysis), encoding="utf-8", newline="\n")


def _drawn(analysis: Analysis, dose: float | None) -> list[Arm]:
    largest = max(arm.dose for arm in analysis.arms) if dose is None else dose
    arms = [arm for arm in analysis.arms if arm.dose == largest]
    null = analysis.arm("none", 0.0)
    return [*arms, null] if null and largest > 0 else arms


def _panel(axes: Axes, analysis: Analysis, arms: list[Arm], metric: str) -> None:
    others = sorted({arm.mitigation.removesuffix(CONTROL) for arm in analysis.arms} - set(KNOWN))
    names = [*KNOWN, *others]
    ends = []
    for arm in arms:
        rank = names.index(arm.mitigation.removesuffix(CONTROL))
        is_null = arm.is_null and arm.mitigation == "none"
        colour = NULL_COLOUR if is_null else COLOURS[rank % len(COLOURS)]
        points = arm.curves.get(metric, ())
        x = [point.bias_ratio for point in points]
        y = [point.interval.estimate for point in points]
        low, high = ([getattr(point.interval, side) for point in points] for side in ("low", "high"))
        if not arm.is_control:
            axes.fill_between(x, low, high, color=colour, alpha=0.14, linewidth=0)
        axes.plot(
            x,
            y,
            color=colour,
            linewidth=1.2 if arm.is_control else 1.8,
            linestyle=":" if arm.is_control else (0, (4, 2)) if is_null else "-",
            # The seventh arm has the colour of the first, but not its marker.
            marker=MARKERS[(rank + rank // len(COLOURS)) % len(MARKERS)],
            markersize=4.5,
            markeredgewidth=0,
        )
        ends.append((x[-1], y[-1], _curve_name(arm), colour))
    dose = max(arm.dose for arm in arms)
    title = f"{_capital(analysis.label(metric))}, biased content β = {dose:g}"
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold", pad=10, parse_math=False)
    axes.set_xlabel("bias ratio ρ (augmented rows / all rows)")
    axes.set_xticks(list(analysis.ratios), [f"{ratio:g}" for ratio in analysis.ratios])
    axes.grid(axis="y", color=INK, alpha=0.12, linewidth=0.6)
    axes.tick_params(length=3)
    _label_ends(axes, ends)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _curve_name(arm: Arm) -> str:
    if arm.mitigation == "none":
        return "null arm (β = 0)" if arm.is_null else "no mitigation"
    return arm.mitigation


def _label_ends(axes: Axes, ends: list[tuple[float, float, str, str]]) -> None:
    """Write each curve's name at its right end, moved apart where two would overlap."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    x = max(end[0] for end in ends) + (right - left) * 0.035
    ends = sorted(ends, key=lambda end: (end[1], end[2]))
    gap = (high - low) * min(0.062, 1 / (len(ends) + 1))
    heights = _spread([end[1] for end in ends], gap=gap)
    for (_, _, name, colour), height in zip(ends, heights, strict=True):
        short = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
        axes.text(
            x, height, short, color=colour, va="center", fontweight="bold", fontsize=9, clip_on=False, parse_math=False
        )


def _spread(heights: list[float], gap: float) -> list[float]:
    """Move ascending heights at least `gap` apart; those in the way of each other stay centred where they were."""
    blocks: list[list[float]] = []
    for height in heights:
        block = [height]
        while blocks and _middle(blocks[-1]) + gap * (len(blocks[-1]) + len(block)) / 2 > _middle(block):
            block = blocks.pop() + block
        blocks.append(block)
    return [_middle(block) + gap * (i - (len(block) - 1) / 2) for block in blocks for i in range(len(block))]


def _middle(block: list[float]) -> float:
    return sum(block) / len(block)
