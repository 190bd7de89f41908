"""What a sweep will run, and how long that takes as far as its own records tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

from mitigate.cells import Cell
from mitigate.recipes.config import SweepConfig
from mitigate.recipes.engine import open_engine
from mitigate.recipes.engine.loop import untrained_seeds
from mitigate.recipes.grid import cells_of
from mitigate.recipes.records import read_record, record_path

Group = tuple[str, float]


@dataclass
class _Counts:
    """Cells of one mitigation and dose, of all bias ratios, bias types and seeds."""

    cells: int = 0
    done: int = 0
    failed: int = 0

    @property
    def missing(self) -> int:
        return self.cells - self.done


def show_plan(config: SweepConfig, console: Console) -> None:
    """
    Print the cells of a sweep, how many are done, and the time and price of the others.

    Args:
        config (`SweepConfig`):
            The configuration.
        console (`Console`):
            Where to print.

    Raises:
        ConfigError: If the configuration names a Ray cluster that does not answer.
    """
    counts: dict[Group, _Counts] = {}
    seconds: dict[Group, list[float]] = {}
    missing: list[Cell] = []
    for cell, record in _records(config):
        group = _group(cell)
        count = counts.setdefault(group, _Counts())
        status = record["status"] if record else "missing"
        count.cells += 1
        count.done += status == "done"
        count.failed += status == "failed"
        if record and status == "done":
            seconds.setdefault(group, []).append(record["runtime_s"])
        else:
            missing.append(cell)
    means = {group: fmean(times) for group, times in seconds.items()}
    console.print(_table(counts, means))
    for sentence in _sentences(config, missing, means):
        console.print(sentence, highlight=False)


def _records(config: SweepConfig) -> Iterator[tuple[Cell, dict[str, Any] | None]]:
    for cell in cells_of(config):
        yield cell, read_record(record_path(config, cell), cell)


def _group(cell: Cell) -> Group:
    return (cell.mitigation if cell.bias_ratio else "", cell.dose)


def _table(counts: dict[Group, _Counts], means: dict[Group, float]) -> Table:
    table = Table(title="Cells of the sweep", title_justify="left")
    table.add_column("mitigation")
    table.add_column("dose β", justify="right")
    for name in ("cells", "done", "failed", "to run", "mean time of a cell"):
        table.add_column(name, justify="right")
    for group, count in counts.items():
        mitigation, dose = group
        place = [mitigation, f"{dose:g}"] if mitigation else ["(no augmented rows)", ""]
        time = f"{means[group]:.1f} s" if group in means else "unknown"
        numbers = (count.cells, count.done, count.failed, count.missing)
        table.add_row(*place, *map(str, numbers), time)
    total = [sum(getattr(count, name) for count in counts.values()) for name in ("cells", "done", "failed", "missing")]
    table.add_section()
    table.add_row("all", "", *map(str, total), "")
    return table


def _sentences(config: SweepConfig, missing: list[Cell], means: dict[Group, float]) -> Iterator[str]:
    if not missing:
        yield "Every cell is done: the sweep would only write its report."
        return
    with open_engine(config) as engine:
        at_a_time, machines = min(engine.capacity, len(missing)), engine.machines
    yield f"{len(missing)} cells to run, {at_a_time} at a time on {_several(machines, 'machine')}."
    bases = len(untrained_seeds(config, missing))
    if bases:
        yield f"Before them, {_several(bases, 'base model')} to train, whose time is not known and not counted here."
    guess, price = config.run.seconds_per_cell, config.run.price_per_hour
    if not means and guess is None:
        yield (
            "Estimated time and cost: unknown, as no cell of this sweep is done yet. Guess `--seconds_per_cell`; or "
            "start the sweep, stop it with Ctrl-C when a few cells are done (they are kept), and ask again."
        )
        return
    others = fmean(means.values()) if means else guess or 0.0
    total = sum(means.get(_group(cell), others) for cell in missing)
    unknown = sum(_group(cell) not in means for cell in missing)
    hours = total / at_a_time / 3600
    taken = f", taking the mean of the others for {_several(unknown, 'cell')} of a kind not run yet" if unknown else ""
    source = f"by the cells that are done{taken}" if means else f"if a cell takes {guess:g} s"
    yield f"Estimated time: {duration(3600 * hours)}, {source}. Start-up is not counted."
    used = f"{hours * machines:.2f} machine hours"
    if price is None:
        yield f"Estimated cost: {used}; give `--price_per_hour` for the price."
    else:
        yield f"Estimated cost: {hours * machines * price:.2f} ({used} at {price:g})."


def _several(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def duration(seconds: float) -> str:
    """
    Write a time as people do.

    Args:
        seconds (`float`):
            The time, at least 0.

    Returns:
        `str`: Hours and minutes, minutes and seconds, or seconds.
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
