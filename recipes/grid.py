"""The cells of a sweep and their names."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from functools import cache
from importlib.metadata import version
from typing import Any

from mitigate.cells import ALL_TYPES, WITHOUT_AUGMENTED, Cell
from mitigate.recipes.arguments import MITIGATIONS, DataArguments, ModelArguments
from mitigate.recipes.config import SweepConfig

# The packages whose version can change a result.
PACKAGES = ("mitigate", "torch", "transformers", "trl", "peft", "accelerate", "datasets")

_TAGS = ("token", "token-shuffled", "token-paired", "token-paired-shuffled")
_LOSSES = ("loss", "loss-shuffled")
# The arms that read a setting; what is not here, all of them do.
READ_BY = {
    "lexicon": ("mask", "mask-shuffled", "mask-random"),
    "discrepancy": _LOSSES,
    "loss_weight": _LOSSES,
    "tag_position": _TAGS,
    "tag_dropout": _TAGS,
    "augmented_weight": ("down-weight",),
    "twin_pairs": ("cda",),
    "augmented_file": tuple(name for name in MITIGATIONS if name not in WITHOUT_AUGMENTED),
}


def cells_of(config: SweepConfig) -> list[Cell]:
    """
    List the cells of a grid.

    At ρ = 0 there are no augmented rows, therefore no dose and nothing to mitigate: one cell a seed serves all arms.
    The arms that leave augmented rows out have none of any bias type: one cell serves all types.

    Args:
        config (`SweepConfig`):
            The configuration.

    Returns:
        `list[Cell]`: The cells, seed by seed.
    """
    grid = config.grid
    cells = []
    for seed in grid.seeds:
        cells.append(Cell(dose=0.0, mitigation="none", bias_ratio=0.0, seed=seed))
        for ratio in sorted(set(grid.bias_ratios) - {0.0}):
            for dose in grid.doses:
                for mitigation in grid.mitigations if dose != 0 else grid.null_mitigations:
                    for bias_type in [ALL_TYPES] if mitigation in WITHOUT_AUGMENTED else grid.bias_types:
                        cells.append(Cell(dose, mitigation, ratio, seed, bias_type))
    return cells


def cell_id(config: SweepConfig, cell: Cell) -> str:
    """
    Name a cell by all that its result depends on.

    Args:
        config (`SweepConfig`):
            The configuration.
        cell (`Cell`):
            The cell.

    Returns:
        `str`: Sixteen hexadecimal digits. A changed setting, data file or package version gives another name.
    """
    return digest({"settings": cell_settings(config, cell), "cell": cell._asdict(), "versions": versions()})


def cell_settings(config: SweepConfig, cell: Cell) -> dict[str, Any]:
    """
    Tell all that a cell's result depends on, besides the cell itself and the versions of packages.

    Args:
        config (`SweepConfig`):
            The configuration.
        cell (`Cell`):
            The cell.

    Returns:
        `dict`: Settings that its training or measuring reads; digests of the content in place of local paths.
    """
    arm = cell.mitigation if cell.bias_ratio else WITHOUT_AUGMENTED[0]  # at ρ = 0, real rows alone as well
    return {name: value for name, value in _settings(config).items() if arm in READ_BY.get(name, MITIGATIONS)}


def base_settings(config: SweepConfig) -> dict[str, Any]:
    """
    Tell all that a model trained from scratch depends on, besides its seed and the versions of packages.

    Args:
        config (`SweepConfig`):
            The configuration.

    Returns:
        `dict`: Settings of model and data, as in [`cell_settings`].
    """
    names = {option.name for part in (ModelArguments, DataArguments) for option in dataclasses.fields(part)}
    names |= {"task", "code", "tasks", "attribute", "made_up_rows"}
    return {name: value for name, value in _settings(config).items() if name in names}


def _settings(config: SweepConfig) -> dict[str, Any]:
    parts: list[Any] = [config.mitigation, config.model, config.fit, config.data]
    parts += [config.tasks] if config.grid.task == "tasks" else []
    written = {name: value for part in parts for name, value in dataclasses.asdict(part).items()}
    return {"task": config.grid.task, **written, **config.contents}


def run_name(config: SweepConfig, cell: Cell) -> str:
    """
    Name a cell for people, unlike those of other sweeps.

    Args:
        config (`SweepConfig`):
            The configuration.
        cell (`Cell`):
            The cell.

    Returns:
        `str`: The cell in words, and its id.
    """
    return f"{cell} ({cell_id(config, cell)})"


def versions() -> dict[str, str]:
    """
    Tell the versions of what a result depends on.

    Returns:
        `dict[str, str]`: Version of Python and of each package.
    """
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


# Looking all of them up takes ten milliseconds, and every cell is named several times.
_version = cache(version)


def digest(content: dict[str, Any]) -> str:
    """
    Name some content.

    Args:
        content (`dict`):
            Anything that can be written as JSON.

    Returns:
        `str`: Sixteen hexadecimal digits.
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
