"""The terminal that recipes print their tables on."""

from __future__ import annotations

import sys

from rich.console import Console

_WIDTH = 130  # characters


def table_console() -> Console:
    """
    Make a console that is wide enough for tables.

    Returns:
        `Console`: As wide as the terminal; where nobody looks at one, 130 characters, as rich would assume fewer.
    """
    return Console(width=None if sys.stdout.isatty() else _WIDTH)
