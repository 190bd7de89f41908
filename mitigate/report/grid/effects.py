"""Fields of the grid as text."""

from __future__ import annotations

import math

from mitigate.analysis import ALPHA
from mitigate.grid import MEAN_TYPE, Effect, GridAnalysis, TaskAnalysis
from mitigate.report.numbers import ABSENT, mark_constant

STAR = "*"


def overview_type(grid: GridAnalysis) -> str:
    """
    Tell which fields of the grid stand for all bias types.

    Args:
        grid (`GridAnalysis`):
            The sweep.

    Returns:
        `str`: The mean of the bias types, or the only one.
    """
    return MEAN_TYPE if len(grid.bias_types) > 1 else grid.bias_types[0]


def is_significant(effect: Effect) -> bool:
    """
    Tell whether a field is significant after the correction over the grid.

    Args:
        effect (`Effect`):
            The field.

    Returns:
        `bool`: False also where it is not tested.
    """
    return effect.p_bh <= ALPHA


def shown_effect(effect: Effect) -> str:
    """
    Write a field with two significant digits, a star where it is significant, and `=` where it cannot be tested.

    Args:
        effect (`Effect`):
            The field.

    Returns:
        `str`: In units of the task per +0.10 of ρ, such as `"+0.012*"`.
    """
    return two_digits(effect.interval.estimate, sign=True) + (
        STAR if is_significant(effect) else mark_constant(effect.interval)
    )


def two_digits(value: float, *, sign: bool = False) -> str:
    """
    Write a number with two significant digits, of any size.

    Args:
        value (`float`):
            The number.
        sign (`bool`, *optional*, defaults to `False`):
            Whether a plus is written as well.

    Returns:
        `str`: Such as `"0.0021"` or `"34"`; a dash for NaN.
    """
    if math.isnan(value):
        return ABSENT
    if value == 0 or abs(value) < 1e-9:
        return "0"
    places = min(6, max(0, 1 - math.floor(math.log10(abs(value)))))
    text = f"{value:+.{places}f}" if sign else f"{value:.{places}f}"
    return "0" if float(text) == 0 else text.replace("-", "−")


def task_title(task: TaskAnalysis, longest: int = 60) -> str:
    """
    Name a task, and say if it is a control.

    Args:
        task (`TaskAnalysis`):
            The task.
        longest (`int`, *optional*, defaults to 60):
            Characters after which a name is cut.

    Returns:
        `str`: Such as `"topics (control)"`.
    """
    name = task.name if len(task.name) <= longest else f"{task.name[: longest - 1]}…"
    return name if task.description.related else f"{name} (control)"
