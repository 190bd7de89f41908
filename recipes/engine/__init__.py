"""Run the cells of a sweep: in processes of this machine, or on a Ray cluster."""

from __future__ import annotations

from mitigate.recipes.config import SweepConfig
from mitigate.recipes.engine.local import LocalEngine
from mitigate.recipes.engine.loop import Engine, run_cells

__all__ = ["open_engine", "run_cells"]


def open_engine(config: SweepConfig) -> Engine:
    """
    Make the engine that a configuration names.

    Args:
        config (`SweepConfig`):
            The configuration.

    Returns:
        `Engine`: A context manager; nothing is started before it is entered.
    """
    if config.run.engine == "local":
        return LocalEngine(config)
    from mitigate.recipes.engine.ray import RayEngine  # not everybody has Ray

    return RayEngine(config)
