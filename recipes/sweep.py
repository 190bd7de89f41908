"""
Train and measure one model for every cell of a grid, and report what was inherited.

    accelerate launch --num_processes 1 recipes/sweep.py --config recipes/quickstart.yaml
    python -m mitigate.recipes.sweep --config recipes/quickstart.yaml --seeds 0 1 2 --workers 1

A second start does only what is missing. Finished cells lie in `<output_dir>/cells`, one file each, named by all that
their result depends on. `--dry_run` lists the cells, the time and the cost; `--engine ray` runs them on a cluster.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock, Timeout

from mitigate.cells import Cell
from mitigate.recipes.baselines import OWN_ROWS
from mitigate.recipes.cell import make_task, prepare_process, training_mix
from mitigate.recipes.config import ConfigError, SweepConfig, parse_config
from mitigate.recipes.description import describe, write_description
from mitigate.recipes.engine import open_engine, run_cells
from mitigate.recipes.engine.estimate import duration, show_plan
from mitigate.recipes.engine.loop import untrained_seeds
from mitigate.recipes.grid import cells_of
from mitigate.recipes.models import check_model
from mitigate.recipes.records import read_record, record_path, records_folder, write_record
from mitigate.recipes.report import report_sweep
from mitigate.recipes.tasks import Task
from mitigate.recipes.terminal import table_console
from mitigate.recipes.tracking import choose_tracking


def main(arguments: list[str] | None = None) -> int:
    """
    Run a sweep.

    Args:
        arguments (`list[str]`, *optional*):
            Command line; by default the program's.

    Returns:
        `int`: 0 if every cell has a result, 1 if some failed, 2 if the configuration cannot be run, 130 if it was
        interrupted.
    """
    try:
        return _main(sys.argv[1:] if arguments is None else arguments)
    except ConfigError as error:
        print(f"This configuration cannot be run:\n{error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted. Cells that are done are kept; the same command runs the others.", file=sys.stderr)
        return 130


def _main(arguments: list[str]) -> int:
    config = parse_config(arguments)
    _refuse_several_processes()
    prepare_process()
    if config.run.dry_run:
        with TemporaryDirectory() as scratch:  # made-up rows are written beside the results
            _checked_rows(replace(config, run=replace(config.run, output_dir=scratch)))
        show_plan(config, table_console())
        return 0
    task = _checked_rows(config)
    folder = Path(config.run.output_dir)
    records_folder(config).mkdir(parents=True, exist_ok=True)
    with _alone_in(folder):
        write_description(folder, describe(config, task.names))
        missing = [cell for cell in cells_of(config) if not _is_done(config, cell)]
        _announce(config, missing)
        if missing:
            _run(config, missing)
    return report_sweep(folder)


def _checked_rows(config: SweepConfig) -> Task:
    check_model(config.model)
    task = make_task(config)
    for cell in cells_of(config):
        if cell.seed == config.grid.seeds[0] and cell.mitigation in OWN_ROWS:
            training_mix(config, task, cell)  # rows that do not suffice show here, before any training
    return task


def _run(config: SweepConfig, cells: list[Cell]) -> None:
    """Run the cells, and write the record of each as it comes."""
    choose_tracking(config)
    bases = len(untrained_seeds(config, cells))
    if bases:
        print(f"Base models to train first: {bases}", flush=True)
    times = []
    with open_engine(config) as engine:
        for done, record in enumerate(run_cells(engine, config, cells), start=1):
            write_record(records_folder(config), record)
            times += [record["runtime_s"]] if record["status"] == "done" else []
            left = fmean(times) * (len(cells) - done) / engine.capacity if times else None
            end = f"; about {duration(left)} left" if left else ""
            print(f"[{done}/{len(cells)}] {_summary(record)}{end}", flush=True)


def _is_done(config: SweepConfig, cell: Cell) -> bool:
    record = read_record(record_path(config, cell), cell)
    return record is not None and bool(record["status"] == "done")


def _announce(config: SweepConfig, missing: list[Cell]) -> None:
    total = len(cells_of(config))
    print(f"{total} cells, {total - len(missing)} of them done; results in {config.run.output_dir}", flush=True)


def _summary(record: dict[str, Any]) -> str:
    cell = Cell(**record["cell"])
    if record["status"] != "done":
        return f"{cell}: FAILED, {record['error']}"
    runtime = f"({record['runtime_s']:.1f} s)"
    if "metrics" not in record:
        return f"{cell}: measured on {len(record['tasks'])} tasks {runtime}"
    metrics = record["metrics"]
    return f"{cell}: bias {metrics['bias']:+.3f}, utility {metrics['utility']:.3f} {runtime}"


def _refuse_several_processes() -> None:
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1:
        raise ConfigError(
            f"The sweep was launched in {processes} processes, each of which would run all cells. Launch it with "
            "`--num_processes 1`, and set `workers` to run several cells at a time."
        )


def _alone_in(folder: Path) -> FileLock:
    """Wait until no other sweep works in the folder, which may be one whose launcher was killed."""
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"Another sweep is at work in {folder}; waiting until it has ended.", flush=True)
        lock.acquire()
    return lock


if __name__ == "__main__":
    sys.exit(main())
