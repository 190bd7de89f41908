"""
Measure what the sweep engines cost and how they scale: local processes and Ray, with one and with two cells at a time.

Run it as `OMP_NUM_THREADS=1 python benchmarks/engine.py` on a machine with two free cores; it takes about eight
minutes. Every run is the user's own command on the same cells of the testbed, one thread each, from base models that
were trained before. Its wall time is told apart by the records, whose files have the time at which a cell ended:

- *start-up* until the first cell begins: Python, the imports of the sweep and then of its workers, Ray;
- *cells* from there until the last one ends. *Training* is the sum of the cells' own times over the cells that run at
  a time, and *overhead* is what the cells take beyond it, also where a worker waits for the last cell of another;
- *report*, until the command ends.

Start-up and report come once in a sweep, whatever its length; the last column tells from how much training on they and
the overhead together are less than 5% of it. *Speed-up* compares the rates at which cells were done.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mitigate.recipes.cell import base_source, make_task, prepare_process
from mitigate.recipes.config import parse_config

LIMIT = 0.05


@dataclass(frozen=True)
class _Run:
    """One run of all cells; times in seconds."""

    engine: str
    at_a_time: int
    runtimes: list[float]
    start_up: float
    cells: float
    report: float

    @property
    def training(self) -> float:
        return sum(self.runtimes) / self.at_a_time

    @property
    def overhead(self) -> float:
        return self.cells / self.training - 1

    @property
    def rate(self) -> float:
        return len(self.runtimes) / self.cells

    @property
    def enough(self) -> float | None:
        """Seconds of training from which on all overhead is less than the limit."""
        return (self.start_up + self.report) / (LIMIT - self.overhead) if self.overhead < LIMIT else None


def _measure(engine: str, at_a_time: int, arguments: list[str], folder: Path) -> _Run:
    if engine == "local":
        more = ["--workers", str(at_a_time)]
    else:
        more = ["--engine", "ray", "--cpus_per_cell", str(len(os.sched_getaffinity(0)) / at_a_time)]
    load = os.getloadavg()[0]
    started = time.time()
    subprocess.run(
        [sys.executable, "-m", "mitigate.recipes.sweep", *arguments, *more, "--output_dir", str(folder)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ended = time.time()
    print(f"{engine}, {at_a_time} at a time: load {load:.1f} before, {os.getloadavg()[0]:.1f} after", flush=True)
    paths = list((folder / "cells").glob("*.json"))
    ends = [path.stat().st_mtime for path in paths]
    runtimes = [json.loads(path.read_text(encoding="utf-8"))["runtime_s"] for path in paths]
    first = min(end - runtime for end, runtime in zip(ends, runtimes, strict=True))
    return _Run(engine, at_a_time, runtimes, first - started, max(ends) - first, ended - max(ends))


def _table(runs: list[_Run]) -> Table:
    table = Table("engine", title=f"{len(runs[0].runtimes)} cells", title_justify="left")
    for name in ("at a time", "one cell", "start-up", "cells", "report", "overhead", "cells/min", "speed-up"):
        table.add_column(name, justify="right")
    table.add_column("all below 5% from", justify="right")
    alone = {run.engine: run.rate for run in runs if run.at_a_time == 1}
    for run in runs:
        seconds = (sum(run.runtimes) / len(run.runtimes), run.start_up, run.cells, run.report)
        table.add_row(
            run.engine,
            str(run.at_a_time),
            *(f"{value:.1f} s" for value in seconds),
            f"{run.overhead:.1%}",
            f"{60 * run.rate:.1f}",
            f"{run.rate / alone[run.engine]:.2f}",
            "never" if run.enough is None else f"{run.enough / 60:.0f} min",
        )
    return table


def main() -> None:
    """Run all cells with each engine, once with one and once with two at a time, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    # Of few cells, the last ones, which leave a worker idle, are a large part.
    parser.add_argument("--cells", type=int, default=24, help="cells of a run, a multiple of four")
    parser.add_argument("--epochs", type=float, default=8, help="epochs of a cell; eight take about five seconds")
    options = parser.parse_args()
    seeds = [str(seed) for seed in range(options.cells // 4)]
    arguments = [
        "--seeds",
        *seeds,
        "--bias_ratios",
        *["0", "0.2", "0.4", "0.6"],
        "--base_epochs",
        "0.5",
        "--report_to",
        "none",
    ]
    arguments += ["--epochs", str(options.epochs)]
    prepare_process()
    runs = []
    with tempfile.TemporaryDirectory() as scratch:
        bases = Path(scratch) / "bases"
        config = parse_config([*arguments, "--output_dir", str(bases)])
        for seed in config.grid.seeds:
            base_source(config, make_task(config), seed)
        for engine in ("local", "ray") if find_spec("ray") is not None else ("local",):
            for at_a_time in (1, 2):
                folder = Path(scratch) / f"{engine}-{at_a_time}"
                shutil.copytree(bases / "models", folder / "models")
                runs.append(_measure(engine, at_a_time, arguments, folder))
    Console(width=120).print(_table(runs))


if __name__ == "__main__":
    main()
