"""Fine-tune a model with a trainer that knows nothing of mitigation but the callbacks it is given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer


def fit_language_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Dataset,
    *,
    output_dir: Path,
    seed: int,
    callbacks: Sequence[TrainerCallback] = (),
    lora_rank: int | None = None,
    report_to: str = "none",
    completion_only_loss: bool = True,
    max_length: int | None = None,
    **settings: Any,
) -> PreTrainedModel:
    """
    Train a causal language model with TRL's [`SFTTrainer`].

    Args:
        model (`PreTrainedModel`):
            The model, changed in place.
        tokenizer (`PreTrainedTokenizerBase`):
            Its tokenizer.
        rows (`Dataset`):
            Rows with `prompt`, `completion` and whatever the callbacks need.
        output_dir (`Path`):
            Folder for the trainer; nothing is saved in it.
        seed (`int`):
            Seed of the order of rows.
        callbacks (`Sequence[TrainerCallback]`, *optional*):
            The mitigations.
        lora_rank (`int`, *optional*):
            Rank of LoRA adapters; without it all weights are trained.
        report_to (`str`, *optional*, defaults to `"none"`):
            Tracker.
        completion_only_loss (`bool`, *optional*, defaults to `True`):
            Whether the prompt is left out of the loss.
        max_length (`int`, *optional*):
            Tokens after which a row is cut.
        **settings:
            `epochs`, `learning_rate` and `batch_size`.

    Returns:
        `PreTrainedModel`: The trained model, with adapters merged.
    """
    arguments = SFTConfig(
        **_arguments(output_dir, seed, report_to, **settings),
        completion_only_loss=completion_only_loss,
        max_length=max_length,
    )
    trainer = SFTTrainer(
        model,
        arguments,
        train_dataset=rows,
        processing_class=tokenizer,
        callbacks=list(callbacks),
        peft_config=None if lora_rank is None else _lora(lora_rank, "CAUSAL_LM"),
    )
    return _train(trainer)


def fit_classifier(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Dataset,
    *,
    output_dir: Path,
    seed: int,
    callbacks: Sequence[TrainerCallback] = (),
    lora_rank: int | None = None,
    report_to: str = "none",
    max_length: int | None = None,
    **settings: Any,
) -> PreTrainedModel:
    """
    Train a sequence classifier with transformers' [`Trainer`].

    Args:
        model (`PreTrainedModel`):
            The model, changed in place.
        tokenizer (`PreTrainedTokenizerBase`):
            Its tokenizer.
        rows (`Dataset`):
            Rows with `prompt`, `label` and whatever the callbacks need.
        output_dir (`Path`):
            Folder for the trainer; nothing is saved in it.
        seed (`int`):
            Seed of the order of rows and of the adapters.
        callbacks (`Sequence[TrainerCallback]`, *optional*):
            The mitigations.
        lora_rank (`int`, *optional*):
            Rank of LoRA adapters; without it all weights are trained.
        report_to (`str`, *optional*, defaults to `"none"`):
            Tracker.
        max_length (`int`, *optional*):
            Tokens after which a row is cut.
        **settings:
            `epochs`, `learning_rate` and `batch_size`.

    Returns:
        `PreTrainedModel`: The trained model, with adapters merged.
    """
    label2id = cast(dict[str, int], model.config.label2id)

    def tokenize(row: dict[str, Any]) -> dict[str, Any]:
        ids = tokenizer(row["prompt"], truncation=max_length is not None, max_length=max_length)["input_ids"]
        return {"input_ids": ids, "label": label2id[row["label"]]}

    label_names = [name for name in ("prompt", "completion", "label") if name in rows.column_names]
    network = model if lora_rank is None else get_peft_model(model, _lora(lora_rank, "SEQ_CLS"))
    trainer = Trainer(
        network,
        TrainingArguments(**_arguments(output_dir, seed, report_to, **settings)),
        train_dataset=rows.map(tokenize, remove_columns=label_names),
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        callbacks=list(callbacks),
    )
    return _train(trainer)


def _arguments(
    output_dir: Path, seed: int, report_to: str, *, epochs: float, learning_rate: float, batch_size: int
) -> dict[str, Any]:
    return {
        "output_dir": str(output_dir),
        "seed": seed,
        "report_to": report_to,
        "num_train_epochs": epochs,
        "learning_rate": learning_rate,
        "per_device_train_batch_size": batch_size,
        "save_strategy": "no",
        "logging_steps": 10,
        "disable_tqdm": True,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "bf16": False,  # the model's own weights decide the precision
        # TRL turns it on by default; these models fit, and recomputing their activations costs a third of the time.
        "activation_checkpointing": False,
    }


def _lora(rank: int, task_type: str) -> LoraConfig:
    return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type=task_type)


def _train(trainer: Trainer) -> PreTrainedModel:
    # Many cells report to one terminal, so none of them prints its losses.
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    model = trainer.model
    merged = model.merge_and_unload() if isinstance(model, PeftModel) else model
    return cast(PreTrainedModel, merged)
