"""Processes that train one model together, and work that one of them does alone."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
Result = TypeVar("Result")

# What `accelerate launch` and `torchrun` tell the processes that they start.
_PREFIXES = ("ACCELERATE_", "FSDP_", "TORCHELASTIC_", "MASTER_", "GROUP_", "ROLE_")
_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def processes() -> int:
    """
    Count the processes that train one model together.

    Returns:
        `int`: As many as `accelerate launch` or `torchrun` has started; 1 without them.
    """
    return int(os.environ.get("WORLD_SIZE", "1"))


def crowded_devices() -> str:
    """
    Tell why a process that trains alone cannot do so with the GPUs that it sees.

    Returns:
        `str`: A sentence; empty if it sees one at most.
    """
    devices = torch.cuda.device_count()
    if processes() > 1 or devices <= 1:
        return ""
    return (
        f"This process sees {devices} GPUs, and transformers would give each of them a batch, so that the cell would "
        "be trained on batches of another size. Set `CUDA_VISIBLE_DEVICES=0`, or start one process for each GPU: "
        f"`accelerate launch --config_file recipes/accelerate/ddp.yaml --num_processes {devices}`."
    )


def train_on_cpu() -> bool:
    """
    Tell whether several processes are to train without an accelerator, which accelerate does only when told to.

    Returns:
        `bool`: Whether they are.
    """
    return processes() > 1 and not torch.accelerator.is_available()


def alone(function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
    """
    Call a function in a new process that knows nothing of a launch, so that what it trains or loads is whole.

    Args:
        function (`Callable`):
            A function of a module.
        *args (`Any`):
            Its arguments.
        **kwargs (`Any`):
            Those that have names.

    Returns:
        What it returns.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=_forget_launch) as pool:
        return pool.submit(function, *args, **kwargs).result()


def _forget_launch() -> None:
    for name in list(os.environ):
        if name in _NAMES or name.startswith(_PREFIXES):
            del os.environ[name]
