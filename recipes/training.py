"""Fine-tune a model with a trainer that knows nothing of mitigation but the callbacks it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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

from mitigate.recipes.launching import train_on_cpu


@dataclass(frozen=True)
class FitSettings:
    """
    How a model is trained.

    Args:
        output_dir (`Path`):
            Folder for the trainer; nothing is saved in it.
        seed (`int`):
            Seed of the order of rows and of adapters.
        epochs (`float`):
            Passes over the rows, if `max_steps` does not say otherwise.
        learning_rate (`float`):
            Peak learning rate.
        batch_size (`int`):
            Rows that one device has in memory at a time.
        gradient_accumulation_steps (`int`, *optional*, defaults to 1):
            Such batches in an optimizer step.
        activation_checkpointing (`bool`, *optional*, defaults to `False`):
            Whether activations are computed again in the backward pass.
        max_length (`int`, *optional*):
            Tokens after which a row is cut; by default none is.
        lora_rank (`int`, *optional*):
            Rank of LoRA adapters; without it all weights are trained.
        trained_tokens (`tuple[int, ...]`, *optional*):
            Ids of tokens whose embeddings are trained beside the adapters.
        report_to (`str`, *optional*, defaults to `"none"`):
            Tracker.
        project (`str`, *optional*, defaults to `"mitigate"`):
            Project in the tracker.
        run_name (`str`, *optional*):
            Name of the run in the tracker.
        max_steps (`int`, *optional*):
            Optimizer steps, whatever the number of rows.
    """

    output_dir: Path
    seed: int
    epochs: float
    learning_rate: float
    batch_size: int
    gradient_accumulation_steps: int = 1
    activation_checkpointing: bool = False
    max_length: int | None = None
    lora_rank: int | None = None
    trained_tokens: tuple[int, ...] = ()
    report_to: str = "none"
    project: str = "mitigate"
    run_name: str | None = None
    max_steps: int | None = None

    def trainer_arguments(self) -> dict[str, Any]:
        """
        Write the settings as those of a trainer.

        Returns:
            `dict`: Keyword arguments of `TrainingArguments` and what derives from it.
        """
        return {
            "output_dir": str(self.output_dir),
            "seed": self.seed,
            "report_to": self.report_to,
            "project": self.project,
            "run_name": self.run_name,
            "num_train_epochs": self.epochs,
            "max_steps": self.max_steps or -1,
            "learning_rate": self.learning_rate,
            "per_device_train_batch_size": self.batch_size,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
            "save_strategy": "no",
            "use_cpu": train_on_cpu(),
            "logging_steps": 10,
            "disable_tqdm": True,
            "dataloader_pin_memory": torch.cuda.is_available(),
            "bf16": torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
            # TRL turns it on by default, which costs small models a third of the time for nothing.
            "activation_checkpointing": self.activation_checkpointing,
        }

    def adapters(self, task_type: str, model: PreTrainedModel) -> LoraConfig | None:
        """
        Make the configuration of the adapters.

        Args:
            task_type (`str`):
                PEFT's name of the task.
            model (`PreTrainedModel`):
                The model.

        Returns:
            `LoraConfig` or `None`: The configuration, `None` if all weights are trained.
        """
        if self.lora_rank is None:
            return None
        return LoraConfig(
            r=self.lora_rank,
            lora_alpha=2 * self.lora_rank,
            target_modules="all-linear",
            task_type=task_type,
            trainable_token_indices=list(self.trained_tokens) or None,
            ensure_weight_tying=bool(self.trained_tokens) and bool(model.config.tie_word_embeddings),
        )


def fit_language_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Dataset,
    settings: FitSettings,
    *,
    callbacks: Sequence[TrainerCallback] = (),
    completion_only_loss: bool = True,
) -> Trainer:
    """
    Train a causal language model with TRL's [`SFTTrainer`].

    Args:
        model (`PreTrainedModel`):
            The model, changed in place.
        tokenizer (`PreTrainedTokenizerBase`):
            Its tokenizer.
        rows (`Dataset`):
            Rows with `prompt`, `completion` and whatever the callbacks need.
        settings (`FitSettings`):
            How to train.
        callbacks (`Sequence[TrainerCallback]`, *optional*):
            The mitigations.
        completion_only_loss (`bool`, *optional*, defaults to `True`):
            Whether the prompt is left out of the loss.

    Returns:
        `Trainer`: The trainer, after training; see [`trained_model`].

    Raises:
        ValueError: If `max_length` leaves nothing of the completion of a row, as TRL would leave that row out.
    """
    arguments = SFTConfig(
        **settings.trainer_arguments(), completion_only_loss=completion_only_loss, max_length=settings.max_length
    )
    trainer = SFTTrainer(
        model,
        arguments,
        train_dataset=rows,
        processing_class=tokenizer,
        callbacks=list(callbacks),
        peft_config=settings.adapters("CAUSAL_LM", model),
    )
    lost = len(rows) - len(cast(Dataset, trainer.train_dataset))
    if lost:
        raise ValueError(
            f"`max_length`: {lost} of {len(rows)} rows have a prompt so long that {settings.max_length} tokens leave "
            "nothing of their answer, and the mix would be another one without them. Raise `max_length`, or leave "
            "long rows out of the files."
        )
    return _train(trainer)


def fit_classifier(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Dataset,
    settings: FitSettings,
    *,
    callbacks: Sequence[TrainerCallback] = (),
) -> Trainer:
    """
    Train a sequence classifier with transformers' [`Trainer`], on rows with `prompt` and `label`.

    Takes and returns what [`fit_language_model`] does.
    """
    label2id = cast(dict[str, int], model.config.label2id)
    length = settings.max_length

    def tokenize(row: dict[str, Any]) -> dict[str, Any]:
        ids = tokenizer(row["prompt"], truncation=length is not None, max_length=length)["input_ids"]
        return {"input_ids": ids, "label": label2id[row["label"]]}

    adapters = settings.adapters("SEQ_CLS", model)
    trainer = Trainer(
        model if adapters is None else get_peft_model(model, adapters),
        TrainingArguments(**settings.trainer_arguments()),
        train_dataset=rows.map(tokenize, remove_columns=["prompt", "label"]),
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        callbacks=list(callbacks),
    )
    return _train(trainer)


def as_turns(row: dict[str, Any]) -> dict[str, Any]:
    """
    Make a conversation of a row, which a chat template then writes.

    Args:
        row (`dict`):
            With `prompt` and `completion`, both text.

    Returns:
        `dict`: Both as turns, of the user and of the assistant, and `chat_template_kwargs`, which has templates that
        know of thinking open the answer as where a task asks.
    """
    return {
        "prompt": [{"role": "user", "content": row["prompt"]}],
        "completion": [{"role": "assistant", "content": row["completion"].strip()}],
        "chat_template_kwargs": {"enable_thinking": False},
    }


def trained_model(trainer: Trainer) -> PreTrainedModel:
    """
    Give the model that was trained.

    Args:
        trainer (`Trainer`):
            A trainer that has trained a model which no process holds a part of only.

    Returns:
        `PreTrainedModel`: The model, with adapters merged.
    """
    model = trainer.model
    merged = model.merge_and_unload() if isinstance(model, PeftModel) else model
    return cast(PreTrainedModel, merged)


def _train(trainer: Trainer) -> Trainer:
    # Many cells report to one terminal, so none of them prints its losses.
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trainer
