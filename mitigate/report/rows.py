"""What the models of a sweep were trained on: rows and steps by arm, and what an audit found in the rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mitigate.cells import Cell, arm_rank
from mitigate.report.tables import Table


def rows_table(records: Iterable[Mapping[str, Any]]) -> Table | None:
    """
    Tabulate real rows, augmented rows and optimizer steps by arm and bias ratio.

    Args:
        records (`Iterable[Mapping[str, Any]]`):
            Records of a sweep, with `"rows"` and `"steps"`.

    Returns:
        `Table` or `None`: A range where models of one arm and ratio differ; `None` if no record has rows.
    """
    found: dict[tuple[str, float, float], dict[tuple[str, int], tuple[int, int, int]]] = {}
    for record in records:
        if "rows" in record:
            cell, rows = Cell(**record["cell"]), record["rows"]
            models = found.setdefault((cell.mitigation, cell.dose, cell.bias_ratio), {})
            models[cell.bias_type, cell.seed] = (rows["real"], rows["augmented"], record["steps"])
    if not found:
        return None
    order = sorted(found, key=lambda place: (place[2] > 0, arm_rank(place[0]), place))
    return Table(
        "Rows that models were trained on, and optimizer steps",
        ("arm", "ρ", "models", "real rows", "augmented rows", "steps"),
        tuple(
            (
                f"{'no mitigation' if place[0] == 'none' else place[0]}{f' (β = {place[1]:g})' if place[2] else ''}",
                f"{place[2]:g}",
                str(len(found[place])),
                *(_range(column) for column in zip(*found[place].values(), strict=True)),
            )
            for place in order
        ),
        name="rows",
        columns=("mitigation", "dose", "bias_ratio", "bias_type", "seed", "real", "augmented", "steps"),
        digits=tuple((*place, *model, *counts) for place in order for model, counts in sorted(found[place].items())),
    )


def audit_findings(audit: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """
    List the findings of an audit of the rows.

    Args:
        audit (`Mapping[str, Any]`, *optional*):
            What `mitigate audit` wrote to `audit.json`.

    Returns:
        `list[dict[str, str]]`: The `sentence` and `advice` of each; empty without an audit.
    """
    found = audit["findings"].values() if audit is not None else ()
    return [{name: str(finding[name]) for name in ("sentence", "advice")} for finding in found]


def _range(counts: tuple[int, ...]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
