"""Run cells in processes of this machine, one GPU each if there are any."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from mitigate.cells import Cell
from mitigate.recipes.config import SweepConfig
from mitigate.recipes.engine.devices import device_of_workers
from mitigate.recipes.engine.worker import measure_cell, train_base_model
from mitigate.recipes.grid import cell_id

_DEVICES = "CUDA_VISIBLE_DEVICES"


class LocalEngine:
    """
    Worker processes of this machine.

    Args:
        config (`SweepConfig`):
            The configuration.
    """

    machines = 1

    def __init__(self, config: SweepConfig) -> None:
        self._config = config
        devices = device_of_workers(
            torch.cuda.device_count(),
            os.environ.get(_DEVICES),
            per_device=config.run.workers_per_device,
            workers=config.run.workers,
        )
        self._workers = [_Worker(device) for device in devices]

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        for worker in self._workers:
            worker.stop(at_once=kind is not None)

    @property
    def capacity(self) -> int:
        """`int`: Cells that run at a time."""
        return len(self._workers)

    @property
    def has_room(self) -> bool:
        """`bool`: Whether a worker has nothing to do."""
        return any(worker.is_idle for worker in self._workers)

    def train_base_model(self, seed: int) -> Future[None]:
        """Have the model trained that the cells of a seed start from."""
        return self._idle().submit(train_base_model, self._config, seed)

    def measure_cell(self, cell: Cell) -> Future[dict[str, Any]]:
        """Have a cell run."""
        return self._idle().submit(measure_cell, self._config, cell, cell_id(self._config, cell))

    def explain(self, error: BaseException) -> str:
        """Say in a sentence or two why a job has no result."""
        if isinstance(error, BrokenProcessPool):
            return (
                "the worker process died, as when the system kills it because memory is short. Lower `workers` or "
                "`batch_size`, and start the sweep again: it runs what has failed."
            )
        return f"{type(error).__name__}: {error}"

    def _idle(self) -> _Worker:
        return next(worker for worker in self._workers if worker.is_idle)


class _Worker:
    """One process, started when there is work and anew if it died."""

    # A pool of several processes cannot tell whose death broke it, and takes the others down with it.
    def __init__(self, device: str | None) -> None:
        self._device = device
        self._pool = _new_pool()
        self._processes: list[BaseProcess] = []
        self._future: Future[Any] | None = None

    @property
    def is_idle(self) -> bool:
        return self._future is None or self._future.done()

    def submit(self, function: Callable[..., Any], *arguments: object) -> Future[Any]:
        if self._device is not None and self._has_failed():
            # An error of CUDA may have left the process unable to use its GPU ever again.
            self._pool.shutdown(wait=False)
            self._pool = _new_pool()
        try:
            self._future = self._start(function, *arguments)
        except BrokenProcessPool:
            self._pool = _new_pool()
            self._future = self._start(function, *arguments)
        return self._future

    def _has_failed(self) -> bool:
        if self._future is None:
            return False
        if self._future.exception() is not None:
            return True
        record = self._future.result()
        return record is not None and record["status"] == "failed"

    def _start(self, function: Callable[..., Any], *arguments: object) -> Future[Any]:
        before = multiprocessing.active_children()
        with _inherited_by_new_processes(self._device):
            future = self._pool.submit(function, *arguments)
        self._processes += [child for child in multiprocessing.active_children() if child not in before]
        return future

    def stop(self, *, at_once: bool) -> None:
        if at_once:
            for process in self._processes:
                process.kill()
        self._pool.shutdown()


def _new_pool() -> ProcessPoolExecutor:
    # CUDA does not survive a fork, and libraries ask for it when they are imported: so neither fork nor forkserver.
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_watch_parent)


@contextmanager
def _inherited_by_new_processes(device: str | None) -> Iterator[None]:
    """
    Set what a process must have from its first moment on.

    The device, because whatever is imported first may initialise CUDA; and that it does not hear Ctrl-C, which is for
    the sweep to handle.
    """
    before = os.environ.get(_DEVICES)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
    try:
        if device is not None:
            os.environ[_DEVICES] = device
        yield
    finally:
        if device is not None:
            os.environ.pop(_DEVICES)
            os.environ |= {} if before is None else {_DEVICES: before}
        if blocked is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _watch_parent() -> None:
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    # A worker whose sweep was killed would finish its cell beside the one that was started again.
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
