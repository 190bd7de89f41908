"""Where a callback keeps tensors in the trainer's checkpoints."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR


def save_in_checkpoint(trainer: Trainer, name: str, tensors: dict[str, Tensor]) -> None:
    """
    Write tensors into the checkpoint that the trainer has just saved; to be called by `on_save`.

    This is not done by transformers' `ExportableState`: its states are JSON, are restored only if the user asks for it
    (`restore_callback_states_from_checkpoint`), and then into a new object, to which functions given by the user and
    references from other callbacks are lost. Nor are they safetensors, which programs that load all such files of a
    folder would take for weights of the model.

    Args:
        trainer (`Trainer`):
            The trainer.
        name (`str`):
            Name of the file.
        tensors (`dict[str, torch.Tensor]`):
            The tensors; all processes have the same.
    """
    if trainer.args.should_save and not trainer.args.save_only_model:
        folder = Path(trainer._get_output_dir(_local("trial")))
        torch.save(tensors, folder / f"{PREFIX_CHECKPOINT_DIR}-{trainer.state.global_step}" / name)


def load_from_checkpoint(name: str) -> dict[str, Tensor] | None:
    """
    Read tensors from the checkpoint from which the trainer resumes; to be called by `on_train_begin`.

    Args:
        name (`str`):
            Name of the file.

    Returns:
        `dict[str, torch.Tensor]` or `None`: The tensors, on the CPU; `None` if the trainer does not resume.

    Raises:
        FileNotFoundError: If the checkpoint has no such file.
    """
    checkpoint = _local("resume_from_checkpoint")
    if checkpoint is None:
        return None
    tensors: dict[str, Tensor] = torch.load(Path(checkpoint) / name, map_location="cpu", weights_only=True)
    return tensors


def _local(name: str) -> Any:
    # A trainer hands its callbacks neither the trial of a search nor the checkpoint from which it resumes.
    frame = inspect.currentframe()
    while frame is not None:
        if isinstance(frame.f_locals.get("self"), Trainer) and name in frame.f_locals:
            return frame.f_locals[name]
        frame = frame.f_back
    raise RuntimeError(f"No `Trainer` with a `{name}` is calling: is this one of its events?")
