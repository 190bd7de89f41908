"""Fine-tune the model of a cell, with its mitigation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, cast

from datasets import Dataset
from transformers import PreTrainedTokenizerBase, Trainer, set_seed

from mitigate.arms import ARMS, equal_steps
from mitigate.callbacks import MitigationCallback
from mitigate.cells import CONTROL, Cell
from mitigate.masks import MaskConfig, ensure_mask_tokens
from mitigate.masks.config import mask_token_ids
from mitigate.provenance import AUGMENTED_COLUMN
from mitigate.recipes.baselines import ROW_BASELINES
from mitigate.recipes.config import ConfigError, SweepConfig
from mitigate.recipes.grid import run_name
from mitigate.recipes.launching import crowded_devices, processes
from mitigate.recipes.measuring import Asking
from mitigate.recipes.models import load_model
from mitigate.recipes.tasks import Task
from mitigate.recipes.training import FitSettings, as_turns, fit_classifier, fit_language_model
from mitigate.tags import BiasTagTokenizer, TokenPosition
from mitigate.vocabulary import fit_embeddings

SHUFFLED_COLUMN = "shuffled"


class Fitted(NamedTuple):
    """
    A cell after training.

    Args:
        trainer (`Trainer`):
            The trainer that has trained its model.
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer, with the tokens that the mitigation added.
        tag (`str`):
            The tag of real rows; empty unless tags are paired.
    """

    trainer: Trainer
    tokenizer: PreTrainedTokenizerBase
    tag: str

    @property
    def steps(self) -> int:
        """`int`: Optimizer steps made."""
        return self.trainer.state.global_step


def fit_cell(config: SweepConfig, task: Task, cell: Cell, source: str, rows: Dataset) -> Fitted:
    """
    Train the model of a cell, in this process or together with others that call it too.

    Args:
        config (`SweepConfig`):
            The configuration.
        task (`Task`):
            Where the rows are from.
        cell (`Cell`):
            The cell.
        source (`str`):
            Hub id or folder of the model to start from.
        rows (`Dataset`):
            The training mix.

    Returns:
        `Fitted`: Trainer, tokenizer and tag.

    Raises:
        ConfigError: If several GPUs are visible to a process that trains alone.
    """
    classify = config.model.architecture == "classification"
    set_seed(cell.seed)
    model, tokenizer = load_model(source, config.model, config.labels)
    callbacks = _callbacks(config, task, cell)
    settings = _settings(config, cell)
    if config.model.lora and callbacks:
        # Adapters leave the embeddings as they are, and a tag or placeholder that is not trained means little.
        tokenizer, marks = _with_marks(tokenizer, callbacks)
        fit_embeddings(model, tokenizer)
        settings = replace(settings, trained_tokens=marks)
    columns = ["prompt", "label" if classify else "completion", *(callback.column for callback in callbacks)]
    rows = rows.select_columns(columns)
    if config.grid.task == "tasks" and tokenizer.chat_template is not None:
        rows = rows.map(as_turns)  # as the tasks ask
    fit = fit_classifier if classify else fit_language_model
    trainer = fit(model, tokenizer, rows, settings, callbacks=callbacks)
    return Fitted(trainer, tokenizer, "".join(callback.real_tag or "" for callback in callbacks))


def asking_of(config: SweepConfig, cell: Cell, tag: str) -> Asking:
    """
    Tell how the model of a cell is asked.

    Args:
        config (`SweepConfig`):
            The configuration.
        cell (`Cell`):
            The cell.
        tag (`str`):
            The tag of real rows, if its tags are paired.

    Returns:
        `Asking`: How.
    """
    return Asking(
        seed=cell.seed,
        tag=tag,
        tag_position=cast(TokenPosition, config.mitigation.tag_position),
        classify=config.model.architecture == "classification",
        max_length=config.fit.max_length,
    )


def _callbacks(config: SweepConfig, task: Task, cell: Cell) -> list[MitigationCallback]:
    settings = config.mitigation
    kind = cell.mitigation.removesuffix(CONTROL)
    column = SHUFFLED_COLUMN if cell.mitigation.endswith(CONTROL) else AUGMENTED_COLUMN
    if kind in ("none", *ARMS, *ROW_BASELINES):
        return []
    if kind == "down-weight":
        return [MitigationCallback(augmented_weight=settings.augmented_weight, column=column)]
    if kind in ("mask", "mask-random"):
        words = task.sensitive_words or settings.lexicon
        return [MitigationCallback(mask=MaskConfig(words, random_words=kind == "mask-random"), column=column)]
    if kind == "loss":
        return [MitigationCallback(loss=settings.discrepancy, loss_weight=settings.loss_weight, column=column)]
    return [
        MitigationCallback(
            token="paired" if kind == "token-paired" else True,
            tag_position=cast(TokenPosition, settings.tag_position),
            tag_dropout=settings.tag_dropout,
            column=column,
        )
    ]


def _with_marks(
    tokenizer: PreTrainedTokenizerBase, callbacks: Sequence[MitigationCallback]
) -> tuple[PreTrainedTokenizerBase, tuple[int, ...]]:
    """Add the tokens that the mitigations write, which they would add later, and tell their ids."""
    ids: list[int] = []
    for callback in callbacks:
        if callback.token:
            tokenizer = wrapped = BiasTagTokenizer.wrap(tokenizer, paired=callback.token == "paired")
            ids += wrapped.tag_ids
        if callback.mask is not None:
            ids += mask_token_ids(tokenizer, ensure_mask_tokens(tokenizer, callback.mask)).values()
    return tokenizer, tuple(ids)


def _settings(config: SweepConfig, cell: Cell) -> FitSettings:
    if crowded := crowded_devices():
        raise ConfigError(crowded)
    return FitSettings(
        output_dir=Path(config.run.output_dir) / "trainer",
        seed=cell.seed,
        epochs=config.fit.epochs,
        learning_rate=config.fit.learning_rate,
        batch_size=config.fit.batch_size // (processes() * config.fit.gradient_accumulation_steps),
        gradient_accumulation_steps=config.fit.gradient_accumulation_steps,
        activation_checkpointing=config.fit.activation_checkpointing,
        max_length=config.fit.max_length,
        lora_rank=config.model.lora_rank if config.model.lora else None,
        report_to=config.run.report_to,
        project=config.run.project,
        run_name=run_name(config, cell),
        max_steps=equal_steps(config.fit.training_rows, rows_per_step=config.fit.batch_size, epochs=config.fit.epochs),
    )
