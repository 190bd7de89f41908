"""How much worse a bias may become during training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


class BiasBudget:
    """
    Compare the bias of tasks with that before training.

    Args:
        budget (`Mapping[str, float]`):
            By task the largest increase of its bias, in the unit of that, at least 0.
        tasks (`Sequence[str]`):
            Names of the tasks that are measured.

    Raises:
        ValueError: If a budget is of no task, or out of range.
    """

    def __init__(self, budget: Mapping[str, float], tasks: Sequence[str]) -> None:
        unknown = [name for name in budget if name not in tasks]
        if unknown:
            raise ValueError(f"`budget`: there is no task '{unknown[0]}' (tasks: {', '.join(tasks)}).")
        for name, value in budget.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise ValueError(
                    f"`budget` of task '{name}' must be a finite number, at least 0, got {value!r}: by how much its "
                    "bias may grow."
                )
        self._budget = dict(budget)
        self._before: dict[str, float] = {}

    def start(self, values: Mapping[str, float]) -> None:
        """
        Take the bias before training.

        Args:
            values (`Mapping[str, float]`):
                What was measured, with a `bias/<task>` for each task.

        Raises:
            ValueError: If one that has a budget is not finite.
        """
        for name in self._budget:
            if not math.isfinite(values[f"bias/{name}"]):
                raise ValueError(
                    f"`budget`: the bias of task '{name}' before training is unknown, for none of the model's answers "
                    "tells it (unparsed: "
                    f"{values[f'unparsed/{name}']:.0%}). Leave the task out of `budget`, or raise `max_items`."
                )
        self._before = {name: values[f"bias/{name}"] for name in self._budget}

    def load(self, history: Sequence[Mapping[str, Any]]) -> bool:
        """
        Take the bias before training from the history of a run that resumes.

        Args:
            history (`Sequence[Mapping]`):
                The trainer's `log_history`.

        Returns:
            `bool`: Whether it is there; only a run with this callback leaves it.
        """
        self._before = {}
        for name in self._budget:
            values = (log[f"bias/{name}"] for log in history if f"bias/{name}" in log)
            if (first := next(values, None)) is not None:
                self._before[name] = first
        return self._before.keys() == self._budget.keys()

    def left(self, values: Mapping[str, float]) -> dict[str, float]:
        """
        Tell what is left of each budget.

        Args:
            values (`Mapping[str, float]`):
                What was measured.

        Returns:
            `dict[str, float]`: `bias_budget/<task>`, negative if more than that was spent; NaN if the bias is. Empty
            if the bias before training is not known.
        """
        return {
            f"bias_budget/{name}": self._budget[name] - (values[f"bias/{name}"] - before)
            for name, before in self._before.items()
        }

    def spent(self, values: Mapping[str, float]) -> list[str]:
        """
        Tell which budgets are spent, or can no longer be checked.

        Args:
            values (`Mapping[str, float]`):
                What was measured, with what is left.

        Returns:
            `list[str]`: A sentence for each budget that is. A bias that is unknown, as nobody can read the answers,
            is not taken for a small one.
        """
        sentences = []
        for name, before in self._before.items():
            bias, was = values[f"bias/{name}"], f"and was {before:.4g} before training: its budget of"
            if not math.isfinite(bias):
                unparsed = f"is unknown (unparsed: {values[f'unparsed/{name}']:.0%})"
                sentences.append(
                    f"the bias of task '{name}' {unparsed}, {was} {self._budget[name]:.4g} cannot be kept. See "
                    "whether the loss diverges, or leave the task out of `budget`."
                )
            elif values[f"bias_budget/{name}"] < 0:
                sentences.append(f"the bias of task '{name}' is {bias:.4g}, {was} {self._budget[name]:.4g} is spent.")
        return sentences
