"""Records of one task and one bias type, out of those of a sweep over both."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mitigate.cells import ALL_TYPES, REQUIRED, WITHOUT_AUGMENTED, Cell, read_cells

Record = Mapping[str, Any]
# Of each group, what a task measured; the other numbers by group are about what could not be read.
GROUP_METRIC = "value/"
_PLACE = ("dose", "mitigation", "bias_ratio", "seed")


@dataclass(frozen=True)
class TaskDescription:
    """
    What the analysis of a sweep needs to know of a task.

    Args:
        related (`bool`):
            Whether the bias of the augmented rows touches the task; if not, it is a control.
        relation (`str`, *optional*, defaults to `"direct"`):
            `"direct"`, `"indirect"` or `"none"`.
        labels (`Mapping[str, str]`, *optional*):
            Human names of its metrics, such as `{"bias": "TPR gap", "utility": "accuracy"}`.
    """

    related: bool
    relation: str = "direct"
    labels: Mapping[str, str] = field(default_factory=dict)


def bias_types_of(records: Iterable[Record]) -> tuple[str, ...]:
    """
    List the bias types of a sweep.

    Args:
        records (`Iterable[Mapping[str, Any]]`):
            Records of its cells.

    Returns:
        `tuple[str, ...]`: Bias types in the order in which they appear; `("all",)` if the sweep has none.
    """
    found = {_type(record["cell"]): None for record in records if not _serves_all(record["cell"])}
    return tuple(found) or (ALL_TYPES,)


def task_records(records: Iterable[Record], task: str, bias_type: str) -> Iterator[dict[str, Any]]:
    """
    Give the records of one task and bias type, as [`mitigate.analysis.analyse`] takes them.

    Cells without augmented rows belong to every bias type.

    Args:
        records (`Iterable[Mapping[str, Any]]`):
            Records of a sweep; those of many tasks have `"tasks"`, those of one task `"metrics"`.
        task (`str`):
            Name of the task.
        bias_type (`str`):
            One of the bias types of the sweep.

    Yields:
        `dict`: A record with `"cell"`, `"status"` and `"metrics"`, in which bias, utility and the values of groups
        are kept.
    """
    for record in records:
        if bias_type == _type(record["cell"]) or _serves_all(record["cell"]):
            yield {
                "cell": {name: value for name, value in record["cell"].items() if name != "bias_type"},
                **_outcome(record, task),
            }


def mean_records(records: Sequence[Record], task: str, bias_types: Sequence[str]) -> Iterator[dict[str, Any]]:
    """
    Average a task over bias types within each seed, as the seed is the unit.

    Args:
        records (`Sequence[Mapping[str, Any]]`):
            Records of a sweep.
        task (`str`):
            Name of the task.
        bias_types (`Sequence[str]`):
            The bias types, which count alike.

    Yields:
        `dict`: As from [`task_records`]. A cell of which a bias type is missing is not averaged: its status tells.
    """
    places: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for bias_type in bias_types:
        for record in task_records(records, task, bias_type):
            places.setdefault(tuple(record["cell"][name] for name in _PLACE), []).append(record)
    for place, found in places.items():
        cell = dict(zip(_PLACE, place, strict=True))
        unusable = sorted({str(record["status"]) for record in found if record["status"] != "done"})
        if len(found) < len(bias_types):
            unusable.append("missing")
        if unusable:
            used = sum(record["status"] == "done" for record in found)
            several = f"{used} of {len(bias_types)} bias types; the others: " if len(bias_types) > 1 else ""
            yield {"cell": cell, "status": several + ", ".join(unusable)}
        else:
            yield {"cell": cell, "status": "done", "metrics": _mean([record["metrics"] for record in found])}


def unmeasured_cells(records: Iterable[Record], task: str) -> Iterator[str]:
    """
    List the cells that were run to the end, and yet have no usable result of a task.

    Args:
        records (`Iterable[Mapping[str, Any]]`):
            Records of a sweep.
        task (`str`):
            Name of the task.

    Yields:
        `str`: A cell, with the reason.
    """
    for record in records:
        if record.get("status") == "done":
            place = {name: record["cell"][name] for name in _PLACE}
            for reason in read_cells([{"cell": place, **_outcome(record, task)}]).excluded.values():
                yield f"{Cell(**record['cell'])} ({reason})"


def metrics_of(record: Record, task: str) -> Mapping[str, Any] | None:
    """
    Find what a record says of a task.

    Args:
        record (`Mapping[str, Any]`):
            Record of a cell.
        task (`str`):
            Name of the task.

    Returns:
        `Mapping[str, Any]` or `None`: Its metrics; `None` if there are none.
    """
    found: Mapping[str, Any] | None = record["tasks"].get(task) if "tasks" in record else record.get("metrics")
    return found


def _type(cell: Mapping[str, Any]) -> str:
    return str(cell.get("bias_type", ALL_TYPES))


def _serves_all(cell: Mapping[str, Any]) -> bool:
    return bool(cell["bias_ratio"] == 0 or cell["mitigation"] in WITHOUT_AUGMENTED)


def _outcome(record: Record, task: str) -> dict[str, Any]:
    status = record.get("status")
    if status != "done":
        return {"status": status}
    metrics = metrics_of(record, task)
    if metrics is None:
        return {"status": "no result of this task"}
    lacking = [name for name in REQUIRED if name not in metrics]
    if lacking:
        return {"status": f"no {' and '.join(lacking)} of this task"}
    kept = metrics
    if "tasks" in record:
        kept = {name: metrics[name] for name in metrics if name in REQUIRED or name.startswith(GROUP_METRIC)}
    return {"status": status, "metrics": dict(kept)}


def _mean(found: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Average the metrics that all have; what one has no number for has no mean."""
    names = [name for name in found[0] if all(name in metrics for metrics in found)]
    means = {}
    for name in names:
        values = [metrics[name] for metrics in found]
        numbers = [float(value) for value in values if isinstance(value, int | float)]
        means[name] = math.fsum(numbers) / len(numbers) if len(numbers) == len(values) else math.nan
    return means
