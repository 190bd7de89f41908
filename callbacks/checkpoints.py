"""Where a callback keeps tensors in the trainer's checkpoints."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from mitigate.callbacks.host import trainer_variable


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
        folder = Path(trainer._get_output_dir(trainer_variable("trial")))
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
    checkpoint = trainer_variable("resume_from_checkpoint")
    if checkpoint is None:
        return None
    tensors: dict[str, Tensor] = torch.load(Path(checkpoint) / name, map_location="cpu", weights_only=True)
    return tensors
