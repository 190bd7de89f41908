"""Pictures as SVG: one style, deterministic bytes, as a file of its own or as an element of a page."""

from __future__ import annotations

import html
import io
import re
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Okabe & Ito 2008, told apart by colour-blind readers; markers differ as well, for print in grey.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "D", "^", "v", "P")
# Text and axes have this colour, which no curve has, so that a page can put its own in its place.
INK = "#1F2329"
_FONTS = "system-ui, 'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif"
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "mitigate",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
}


def new_picture(width: float, height: float) -> Figure:
    """
    Start a picture; draw it, from here to [`svg_file`] or [`svg_element`], within `matplotlib.rc_context(STYLE)`.

    Args:
        width (`float`):
            In inches.
        height (`float`):
            In inches.

    Returns:
        `Figure`: Without axes.
    """
    picture = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(picture)
    return picture


def svg_file(picture: Figure) -> str:
    """
    Write a picture as a file of its own, on white.

    Args:
        picture (`Figure`):
            The picture.

    Returns:
        `str`: SVG; the same bytes for the same picture and matplotlib version.
    """
    return _svg(picture, "white")


def svg_element(picture: Figure, *, name: str, label: str) -> str:
    """
    Write a picture as an element of a page, without background and with text in the page's colour.

    Args:
        picture (`Figure`):
            The picture.
        name (`str`):
            Prefix of its ids, of letters, digits, points and hyphens, since all pictures of a page share one name
            space.
        label (`str`):
            What it shows, for those who cannot see it.

    Returns:
        `str`: SVG.
    """
    svg = _svg(picture, "none")
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg[svg.index("<svg") :]).replace(INK.lower(), "currentColor")
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\1{name}-", svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(label)}" ', 1)


def _svg(picture: Figure, colour: str) -> str:
    buffer = io.StringIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context(STYLE):
        picture.savefig(buffer, format="svg", facecolor=colour, metadata=metadata)
    return buffer.getvalue().replace("'DejaVu Sans'", _FONTS)
