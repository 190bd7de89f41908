"""Ask the model in training what tasks want to know."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from accelerate.utils import broadcast_object_list
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer

from mitigate.batches import is_encoder_decoder
from mitigate.callbacks.mitigation import MitigationCallback
from mitigate.seeding import preserved_random_state
from mitigate.tags import BiasTagTokenizer, TokenPosition
from mitigate.tasks import Question, Scores, evaluate_prompts

logger = logging.getLogger(__name__)

# What is logged of each task, and whether more of it is better.
METRICS = {"bias": False, "utility": True, "unparsed": False}


def ask(trainer: Trainer, questions: Sequence[Question]) -> dict[str, float]:
    """
    Ask the model of a trainer, as it is now.

    Args:
        trainer (`Trainer`):
            The trainer. All its processes call this at the same point.
        questions (`Sequence[Question]`):
            What to ask.

    Returns:
        `dict[str, float]`: `bias/<task>`, `utility/<task>` and `unparsed/<task>`, and `bias/runtime_s`; the same on
        all processes. Of a model whose scores are not finite, NaN, NaN and 1.
    """
    started = time.perf_counter()
    model = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
    # As the trainer does before it evaluates: some optimizers keep other weights than those to evaluate.
    evaluate_optimizer = getattr(trainer.optimizer, "eval", None)
    if callable(evaluate_optimizer):
        evaluate_optimizer()
    tag, position = _real_tag(trainer)
    tokenizer = cast(PreTrainedTokenizerBase, trainer.processing_class)  # `refuse_unsupported` has looked at it
    values: dict[str, float] = {}
    with preserved_random_state(model.device):
        for task, prompts in questions:
            marked = [replace(prompt, tag=tag, tag_position=position) for prompt in prompts]
            batch_size = trainer.args.per_device_eval_batch_size
            try:
                scores = evaluate_prompts(task, model, tokenizer, marked, batch_size=batch_size)
            except FloatingPointError as error:
                # Whether to go on is for the budget or the user to say, and no process may leave the others waiting.
                logger.warning("Task '%s' after step %d: %s", task.name, trainer.state.global_step, error)
                own = {"bias": math.nan, "utility": math.nan, "unparsed": 1.0}
            else:
                own = {"bias": scores.bias, "utility": scores.utility, "unparsed": _unparsed(scores)}
            values |= {f"{metric}/{task.name}": own[metric] for metric in METRICS}
    values["bias/runtime_s"] = round(time.perf_counter() - started, 4)
    # Rounding may differ between devices, and all processes must agree on when to stop.
    agreed: dict[str, float] = broadcast_object_list([values])[0]
    return agreed


def refuse_unsupported(trainer: Trainer) -> None:
    """
    Refuse trainers whose model cannot be asked.

    Args:
        trainer (`Trainer`):
            The trainer.

    Raises:
        ValueError: If its model cannot.
    """
    model, tokenizer = trainer.model, trainer.processing_class
    inner = trainer.accelerator.unwrap_model(model, keep_torch_compile=False)
    inner = inner.get_base_model() if isinstance(inner, PeftModel) else inner
    writes = isinstance(inner, PreTrainedModel) and inner.can_generate() and not is_encoder_decoder(inner)
    parallelism = trainer.accelerator.parallelism_config
    split = [f"{kind}_size" for kind in ("cp", "sp") if getattr(parallelism, f"{kind}_enabled", False)]
    fsdp = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    reasons = {
        f"tasks are asked in words, and the trainer's `processing_class` is {type(tokenizer).__name__}, no tokenizer; "
        "pass `processing_class=tokenizer` to it": not isinstance(tokenizer, PreTrainedTokenizerBase),
        f"tasks need a causal language model, and `{type(inner).__name__}` is none": not writes,
        f"{', '.join(split)} > 1 splits texts between processes; use data parallelism (DDP, FSDP 2, DeepSpeed)": split,
        "FSDP 1 does not let its model be asked; set `fsdp_version: 2`": fsdp is not None and fsdp.fsdp_version == 1,
    }
    for reason, holds in reasons.items():
        if holds:
            raise ValueError(f"`BiasEvaluationCallback` cannot be used here: {reason}.")


def warn_of_tags(trainer: Trainer) -> None:
    """
    Tell that prompts lack the tag of real text, if it is not known where it belongs.

    Args:
        trainer (`Trainer`):
            The trainer.
    """
    tokenizer: object = trainer.processing_class
    paired = isinstance(tokenizer, BiasTagTokenizer) and not tokenizer.hidden and tokenizer.real_tag is not None
    if paired and not _real_tag(trainer)[0]:
        logger.warning(
            "The tokenizer has a tag for real text, but tasks are asked without it. If your rows bear it, add "
            "`MitigationCallback(token='paired', tag_position=…)`: it keeps those tags, and tells where prompts need "
            "theirs."
        )


def _real_tag(trainer: Trainer) -> tuple[str, TokenPosition]:
    """Give the tag that prompts bear when the model is used, and its place."""
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, MitigationCallback) and callback.real_tag is not None:
            return callback.real_tag, callback.tag_position
    return "", "start"


def _unparsed(scores: Scores) -> float:
    groups = scores.groups.values()
    return sum(group.n * group.unparsed for group in groups) / sum(group.n for group in groups)
