"""
Train and measure one model for every cell of a grid, and report what was inherited.

    accelerate launch recipes/sweep.py --config recipes/quickstart.yaml
    python -m mitigate.recipes.sweep --config recipes/quickstart.yaml --seeds 0 1 2 --workers 1

A second start does only what is missing. Finished cells lie in `<output_dir>/cells`, one file each, named by all that
their result depends on.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import threading
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import wandb
from filelock import FileLock, Timeout

from mitigate.cells import Cell
from mitigate.recipes.baselines import OWN_ROWS
from mitigate.recipes.cell import (
    base_source,
    make_task,
    prepare_process,
    run_cell,
    training_mix,
)
from mitigate.recipes.config import ConfigError, SweepConfig, parse_config
from mitigate.recipes.description import describe, write_description
from mitigate.recipes.grid import cell_id, cells_of
from mitigate.recipes.records import record_path, records_folder, write_record
from mitigate.recipes.report import report_sweep


def main(arguments: list[str] | None = None) -> int:
    """
    Run a sweep.

    Args:
        arguments (`list[str]`, *optional*):
            Command line; by default the program's.

    Returns:
        `int`: 0 if every cell has a result, 1 if some failed, 2 if the configuration cannot be run.
    """
    try:
        config = parse_config(sys.argv[1:] if arguments is None else arguments)
        _refuse_several_processes()
        prepare_process()
        task = make_task(config)
        for cell in cells_of(config):
            if cell.seed == config.grid.seeds[0] and cell.mitigation in OWN_ROWS:
                training_mix(config, task, cell)  # rows that do not suffice show here, before any training
    except ConfigError as error:
        print(f"This configuration cannot be run:\n{error}", file=sys.stderr)
        return 2
    folder = Path(config.run.output_dir)
    records_folder(config).mkdir(parents=True, exist_ok=True)
    with _alone_in(folder):
        write_description(folder, describe(config, task.names))
        missing = [cell for cell in cells_of(config) if not _is_done(config, cell)]
        _announce(config, missing)
        _run(config, missing)
    return report_sweep(folder)


def _run(config: SweepConfig, cells: list[Cell]) -> None:
    """Train the models that the cells start from, then the cells."""
    started = time.perf_counter()
    _choose_tracking(config)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(config.run.workers, context, _start_worker, (config,)) as pool:
        seeds = sorted({cell.seed for cell in cells}) if config.model.model is None else []
        for base in as_completed([pool.submit(_base_in_worker, seed) for seed in seeds]):
            print(f"base model of seed {base.result()} ready ({time.perf_counter() - started:.0f} s)", flush=True)
        started = time.perf_counter()
        # The largest bias ratios first: the others fill the gaps at the end.
        futures = [pool.submit(_cell_in_worker, cell) for cell in cells]
        for done, future in enumerate(as_completed(futures), start=1):
            record = future.result()
            write_record(records_folder(config), record)
            left = (time.perf_counter() - started) / done * (len(cells) - done)
            print(f"[{done}/{len(cells)}] {_summary(record)}; about {_duration(left)} left", flush=True)


_worker: dict[str, Any] = {}


def _start_worker(config: SweepConfig) -> None:
    threading.Thread(target=_die_with_parent, daemon=True).start()
    prepare_process()
    _worker.update(config=config, task=make_task(config))


def _die_with_parent() -> None:
    # A worker whose sweep was killed would finish its cell beside the one that was started again.
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _base_in_worker(seed: int) -> int:
    base_source(_worker["config"], _worker["task"], seed)
    return seed


def _cell_in_worker(cell: Cell) -> dict[str, Any]:
    config = _worker["config"]
    try:
        return {**run_cell(config, _worker["task"], cell), "status": "done"}
    except Exception as error:  # one cell's failure must not end the sweep; it is recorded and reported
        traceback.print_exc()
        return {
            "cell_id": cell_id(config, cell),
            "cell": cell._asdict(),
            "status": "failed",
            "error": f"{type(error).__name__}: {error}",
        }
    finally:
        if wandb.run is not None:
            wandb.finish()


def _is_done(config: SweepConfig, cell: Cell) -> bool:
    path = record_path(config, cell)
    return path.is_file() and bool(json.loads(path.read_text(encoding="utf-8"))["status"] == "done")


def _announce(config: SweepConfig, missing: list[Cell]) -> None:
    total = len(cells_of(config))
    print(f"{total} cells, {total - len(missing)} of them done; results in {config.run.output_dir}", flush=True)


def _summary(record: dict[str, Any]) -> str:
    cell = Cell(**record["cell"])
    if record["status"] != "done":
        return f"{cell}: FAILED, {record['error']}"
    if "tasks" in record:
        return f"{cell}: {len(record['tasks'])} tasks ({record['runtime_s']:.1f} s)"
    metrics = record["metrics"]
    return f"{cell}: bias {metrics['bias']:+.3f}, utility {metrics['utility']:.3f} ({record['runtime_s']:.1f} s)"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _refuse_several_processes() -> None:
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1:
        raise ConfigError(
            f"The sweep was launched in {processes} processes, each of which would run all cells. Launch it with "
            "`--num_processes 1`, and set `workers` to run several cells at a time."
        )


def _choose_tracking(config: SweepConfig) -> None:
    """Keep W&B from asking for an account: without one, runs are written to disk."""
    if config.run.report_to == "wandb" and "WANDB_MODE" not in os.environ and not wandb.login(prompt=False):
        os.environ["WANDB_MODE"] = "offline"
    os.environ.setdefault("WANDB_SILENT", "true")


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
