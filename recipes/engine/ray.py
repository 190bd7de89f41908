"""Run cells as tasks of a Ray cluster, or of Ray on this machine."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from mitigate.cells import Cell
from mitigate.recipes.cell import base_folder
from mitigate.recipes.config import ConfigError, SweepConfig
from mitigate.recipes.engine.shipping import read_folder, write_folder
from mitigate.recipes.engine.worker import measure_cell, train_base_model
from mitigate.recipes.grid import cell_id

# What a tracker must be told on every machine. A key is not among them: tasks are seen by all users of a cluster.
_TOLD = ("WANDB_MODE", "WANDB_SILENT")


class RayEngine:
    """
    Ray, which finds the machines, and tries a cell again whose process or machine was lost.

    Args:
        config (`SweepConfig`):
            The configuration.

    Raises:
        ConfigError: When entered, if no cluster answers, or this machine has less than a cell takes.
    """

    # Ray has a queue of its own.
    has_room = True

    def __init__(self, config: SweepConfig) -> None:
        self._config = config
        self._bases: dict[int, Any] = {}

    def __enter__(self) -> RayEngine:
        run = self._config.run
        address = run.ray_address or os.environ.get("RAY_ADDRESS", "local")
        _connect(address)
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        self.machines = len(machines)
        gpus = run.gpus_per_cell
        if gpus is None:
            gpus = 1.0 if any(machine.get("GPU") for machine in machines) else 0.0
        needed = {"CPU": run.cpus_per_cell, "GPU": gpus}
        found = cells_at_a_time(machines, needed)
        self.capacity = max(1, found)
        if found == 0:
            lacking = f"A cell takes {run.cpus_per_cell:g} cores and {gpus:g} GPUs, which no machine of {address} has"
            if address == "local":
                ray.shutdown()
                raise ConfigError(f"{lacking}. Lower `cpus_per_cell` or `gpus_per_cell`.")
            print(f"{lacking} at present; the cells wait for one that joins.", file=sys.stderr, flush=True)
        # A task with GPUs has a process of its own, as it would not see another GPU than the one before it.
        remote = ray.remote(num_cpus=run.cpus_per_cell, num_gpus=gpus, max_retries=run.max_retries)
        self._train = remote(_train_base_model)
        self._measure = remote(_measure_cell)
        self._place = {"folder": os.getcwd(), "told": {name: os.environ[name] for name in _TOLD if name in os.environ}}
        return self

    def __exit__(self, *exception: object) -> None:
        ray.shutdown()

    def train_base_model(self, seed: int) -> Future[Any]:
        """Have the model trained that the cells of a seed start from."""
        self._bases[seed] = self._train.remote(self._place, self._config, seed)
        future: Future[Any] = self._bases[seed].future()
        return future

    def measure_cell(self, cell: Cell) -> Future[dict[str, Any]]:
        """Have a cell run; the model it starts from travels with it."""
        base = None if self._config.model.model is not None else self._base(cell.seed)
        name = cell_id(self._config, cell)
        future: Future[dict[str, Any]] = self._measure.remote(self._place, self._config, cell, name, base).future()
        return future

    def explain(self, error: BaseException) -> str:
        """Say in a sentence or two why a job has no result."""
        if isinstance(error, RayTaskError):
            return f"{type(error.cause).__name__}: {error.cause}"
        if isinstance(error, RayError):
            first = str(error).strip().partition("\n")[0]
            return f"{type(error).__name__}, after {self._config.run.max_retries} retries: {first}"
        return f"{type(error).__name__}: {error}"

    def _base(self, seed: int) -> Any:
        """Refer to a base model, and keep it here too: the next start finds it, whichever machines there are then."""
        folder = base_folder(self._config, seed)
        if seed not in self._bases:
            self._bases[seed] = ray.put(read_folder(folder))
        elif not folder.is_dir():
            write_folder(folder, ray.get(self._bases[seed]))
        return self._bases[seed]


def cells_at_a_time(machines: Sequence[Mapping[str, float]], needed: Mapping[str, float]) -> int:
    """
    Count the cells that run at a time on a cluster.

    Args:
        machines (`Sequence[Mapping[str, float]]`):
            Amount of each resource that each machine has.
        needed (`Mapping[str, float]`):
            Amount of each resource that a cell takes.

    Returns:
        `int`: The number, none of which is split between machines.
    """
    return sum(
        min(int(machine.get(resource, 0) / amount + 1e-9) for resource, amount in needed.items() if amount > 0)
        for machine in machines
    )


def _connect(address: str) -> None:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    options = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, logging_level=logging.ERROR, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        first = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"`ray_address`: no Ray cluster answers at {address} ({first}). Start one with `ray start --head`, or "
            "leave the address out to use this machine alone."
        ) from error


def _train_base_model(place: dict[str, Any], config: SweepConfig, seed: int) -> dict[str, bytes]:
    _settle(place)
    train_base_model(config, seed)
    return read_folder(base_folder(config, seed))


def _measure_cell(
    place: dict[str, Any], config: SweepConfig, cell: Cell, name: str, base: dict[str, bytes] | None
) -> dict[str, Any]:
    _settle(place)
    if base is not None:
        write_folder(base_folder(config, cell.seed), base)
    return measure_cell(config, cell, name)


def _settle(place: dict[str, Any]) -> None:
    """Make relative paths mean what they mean where the sweep was started, if that folder is here too."""
    os.environ |= place["told"]
    if Path(place["folder"]).is_dir():
        os.chdir(place["folder"])
