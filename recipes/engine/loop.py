"""Hand the cells of a sweep to an engine: each when the model that it starts from is there, and none of them twice."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Protocol, Self

from mitigate.cells import Cell
from mitigate.recipes.cell import base_folder
from mitigate.recipes.config import SweepConfig
from mitigate.recipes.grid import cell_id
from mitigate.recipes.records import failed_record


class Engine(Protocol):
    """
    Something that runs cells.

    Leaving the context ends all that it started; after an exception at once.

    Attributes:
        machines (`int`):
            Machines that it has.
        capacity (`int`):
            Cells that it runs at a time.
        has_room (`bool`):
            Whether it takes another one now.
    """

    @property
    def machines(self) -> int: ...  # noqa: D102

    @property
    def capacity(self) -> int: ...  # noqa: D102

    @property
    def has_room(self) -> bool: ...  # noqa: D102

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: Any) -> None: ...

    def train_base_model(self, seed: int) -> Future[Any]:
        """Have the model trained that the cells of a seed start from."""
        ...

    def measure_cell(self, cell: Cell) -> Future[dict[str, Any]]:
        """Have a cell run, whose base model is there."""
        ...

    def explain(self, error: BaseException) -> str:
        """Say in a sentence or two why a job has no result."""
        ...


def untrained_seeds(config: SweepConfig, cells: list[Cell]) -> list[int]:
    """
    Tell for which seeds a model must be trained from scratch before their cells can start from it.

    Args:
        config (`SweepConfig`):
            The configuration.
        cells (`list[Cell]`):
            The cells to run.

    Returns:
        `list[int]`: The seeds, ascending.
    """
    if config.model.model is not None:
        return []
    return [seed for seed in sorted({cell.seed for cell in cells}) if not base_folder(config, seed).is_dir()]


def run_cells(engine: Engine, config: SweepConfig, cells: list[Cell]) -> Iterator[dict[str, Any]]:
    """
    Run cells.

    Args:
        engine (`Engine`):
            The engine, entered.
        config (`SweepConfig`):
            The configuration.
        cells (`list[Cell]`):
            The cells to run.

    Yields:
        `dict`: The record of each cell when it is done or has failed.
    """
    seeds = untrained_seeds(config, cells)
    unready, waiting = set(seeds), list(cells)
    running: dict[Future[Any], Cell | int] = {}
    while waiting or running:
        while engine.has_room and (job := _next(seeds, waiting, unready)) is not None:
            submit = engine.measure_cell if isinstance(job, Cell) else engine.train_base_model
            running[submit(job)] = job  # type: ignore[arg-type]
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            job = running.pop(future)
            error = future.exception()
            reason = "" if error is None else engine.explain(error)
            if isinstance(job, Cell):
                yield failed_record(cell_id(config, job), job, reason) if reason else future.result()
                continue
            unready.discard(job)
            if reason:
                lost = [cell for cell in waiting if cell.seed == job]
                waiting = [cell for cell in waiting if cell.seed != job]
                for cell in lost:
                    yield failed_record(cell_id(config, cell), cell, f"its base model could not be trained: {reason}")


def _next(seeds: list[int], waiting: list[Cell], unready: set[int]) -> Cell | int | None:
    """Take the next job: the base models come first, as the cells wait for them."""
    if seeds:
        return seeds.pop(0)
    cell = next((cell for cell in waiting if cell.seed not in unready), None)
    if cell is not None:
        waiting.remove(cell)
    return cell
