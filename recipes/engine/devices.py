"""Which GPU each worker process of this machine sees."""

from __future__ import annotations


def device_of_workers(gpus: int, visible: str | None, *, per_device: int, workers: int | None) -> list[str | None]:
    """
    Give every worker one device.

    Args:
        gpus (`int`):
            GPUs that this process may use.
        visible (`str`, *optional*):
            Its own `CUDA_VISIBLE_DEVICES`: numbers or names of those GPUs.
        per_device (`int`):
            Workers that share a GPU.
        workers (`int`, *optional*):
            Workers at most; by default 2 without GPUs, and as many as there are places with GPUs.

    Returns:
        `list[str | None]`: `CUDA_VISIBLE_DEVICES` of each worker, the first worker of every GPU before the second of
        any; `None` without GPUs.

    Example:
        ```python
        >>> device_of_workers(2, "4,7", per_device=2, workers=None)
        ['4', '7', '4', '7']
        ```
    """
    if gpus == 0:
        return [None] * (workers or 2)
    names: list[str | None] = [name.strip() for name in visible.split(",")] if visible else [*map(str, range(gpus))]
    return ([*names[:gpus]] * per_device)[:workers]
