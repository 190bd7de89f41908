"""
Train and measure one cell of a sweep, in one process or in many.

    accelerate launch --config_file recipes/accelerate/ddp.yaml recipes/train.py --config recipes/gender.yaml \
        --mitigation mask --bias_ratio 0.5 --bias_type implicit --seed 0

It is for models that need several GPUs. The record goes where those of the sweep are, under the same name, so a sweep
does not run the cell again. Several processes share each batch: together they see `batch_size` rows a step, as one
process would.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset

from mitigate.cells import ALL_TYPES, WITHOUT_AUGMENTED, Cell
from mitigate.recipes.arguments import CellArguments
from mitigate.recipes.baselines import count_rows
from mitigate.recipes.cell import (
    base_folder,
    base_source,
    make_record,
    make_task,
    prepare_process,
    run_cell,
    training_mix,
    with_data_bias,
)
from mitigate.recipes.checks import check_config
from mitigate.recipes.config import PARTS, ConfigError, SweepConfig, read_arguments
from mitigate.recipes.fitting import asking_of, fit_cell
from mitigate.recipes.grid import cell_id, cells_of
from mitigate.recipes.launching import alone, crowded_devices, processes, train_on_cpu
from mitigate.recipes.models import check_model, load_trained
from mitigate.recipes.records import failed_record, read_record, record_path, records_folder, write_record
from mitigate.recipes.tasks import Task
from mitigate.recipes.tracking import choose_tracking, log_measured, tracked


def main(arguments: list[str] | None = None) -> int:
    """
    Run a cell.

    Args:
        arguments (`list[str]`, *optional*):
            Command line; by default the program's.

    Returns:
        `int`: 0, or 2 if the configuration cannot be run.
    """
    try:
        config, cell = parse_cell(sys.argv[1:] if arguments is None else arguments)
        prepare_process()
        check_model(config.model)
        task = make_task(config)
        rows = training_mix(config, task, cell)
    except ConfigError as error:
        print(f"This configuration cannot be run:\n{error}", file=sys.stderr)
        return 2
    path = record_path(config, cell)
    found = read_record(path, cell)
    if found is not None and found["status"] == "done":
        print(f"{cell}: done already, {path}. To train it again, delete that file.")
        return 0
    choose_tracking(config)
    records_folder(config).mkdir(parents=True, exist_ok=True)
    try:
        record = run_cell(config, task, cell) if processes() == 1 else _run_together(config, task, cell, rows)
    except Exception as error:
        if int(os.environ.get("RANK", "0")) == 0:
            reason = f"{type(error).__name__}: {error}"
            write_record(records_folder(config), failed_record(cell_id(config, cell), cell, reason))
        raise
    if record is not None:
        write_record(records_folder(config), {**record, "status": "done"})
        print(f"{cell}: {path} ({record['runtime_s']:.1f} s)")
    return 0


def parse_cell(arguments: list[str]) -> tuple[SweepConfig, Cell]:
    """
    Read the configuration of a sweep and the place of one of its cells.

    Args:
        arguments (`list[str]`):
            Command line without the program's name.

    Returns:
        `tuple[SweepConfig, Cell]`: Both, checked.

    Raises:
        ConfigError: If the configuration cannot be run, the cell is none of its grid, its processes cannot share a
            batch, or one process sees several GPUs.
    """
    (*parts, place), problems = read_arguments((*PARTS, CellArguments), arguments, sys.modules[__name__].__doc__)
    config = SweepConfig(*parts)
    problems += check_config(config)
    if crowded := crowded_devices():
        problems.append(crowded)
    shares = processes() * max(1, config.fit.gradient_accumulation_steps)
    if config.fit.batch_size % shares:
        problems.append(
            f"`batch_size` must be a multiple of {shares}, the number of processes, which share each "
            f"batch, times `gradient_accumulation_steps`; got {config.fit.batch_size}."
        )
    if problems:
        raise ConfigError("\n".join(problems))
    return config, _find_cell(config, place)


def _find_cell(config: SweepConfig, place: CellArguments) -> Cell:
    bias_type = ALL_TYPES if place.mitigation in WITHOUT_AUGMENTED else place.bias_type
    cell = Cell(place.dose, place.mitigation, place.bias_ratio, place.seed, bias_type)
    if place.bias_ratio == 0:  # one model serves all arms
        cell = Cell(0.0, "none", 0.0, place.seed)
    if cell not in cells_of(config):
        grid = config.grid
        raise ConfigError(
            f"There is no cell ({cell}) in the grid, which has the mitigations {', '.join(grid.mitigations)}; the "
            f"bias ratios {grid.bias_ratios}; the bias types {', '.join(grid.bias_types)}; the doses {grid.doses}; "
            f"and the seeds {grid.seeds}. Choose among these, or add to them."
        )
    return cell


def _run_together(config: SweepConfig, task: Task, cell: Cell, rows: Dataset) -> dict[str, Any] | None:
    """Train in all processes and measure in the first, whose record it returns."""
    state = PartialState(cpu=train_on_cpu())
    started = time.perf_counter()
    with state.main_process_first():
        if config.model.model is None and not base_folder(config, cell.seed).is_dir():
            alone(_train_base, config, cell.seed)
    source = base_source(config, task, cell.seed)
    folder = Path(config.run.output_dir) / "trainer" / cell_id(config, cell)
    first = state.is_main_process
    with tracked(config, cell, really=first):
        fitted = fit_cell(config, task, cell, source, rows)
        fitted.trainer.save_model(str(folder))  # of weights that are split, it gathers all
        found: dict[str, Any] = {"steps": fitted.steps, "rows": count_rows(rows)}
        tag = fitted.tag
        fitted.trainer.accelerator.end_training()
        if not first:
            return None
        # The weights must leave the GPU before they come back whole.
        del fitted
        gc.collect()
        torch.cuda.empty_cache()
        trained = time.perf_counter()
        try:
            measured = with_data_bias(alone(_measure_saved, config, cell, source, folder, tag), task, rows)
        except Exception:
            print(f"{cell}: trained, but not measured. What was trained is kept in {folder}.", file=sys.stderr)
            raise
        shutil.rmtree(folder)
        log_measured(config, cell, measured)
    times = {"train_s": round(trained - started, 3), "evaluate_s": round(time.perf_counter() - trained, 3)}
    return make_record(config, cell, {**measured, **found, "times": times})


def _train_base(config: SweepConfig, seed: int) -> None:
    prepare_process()
    base_source(config, make_task(config), seed)


def _measure_saved(config: SweepConfig, cell: Cell, source: str, folder: Path, tag: str) -> dict[str, Any]:
    prepare_process()
    model, tokenizer = load_trained(source, folder, config.model, config.labels)
    return make_task(config).measure(model, tokenizer, asking_of(config, cell, tag))


if __name__ == "__main__":
    sys.exit(main())
