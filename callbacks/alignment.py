"""Loss-based mitigation: a callback that aligns the representations of real and augmented rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from mitigate.callbacks.attachment import BackboneHooks
from mitigate.callbacks.checks import check_provenance
from mitigate.callbacks.gathering import gather_rows
from mitigate.callbacks.host import act_on_rows, calling_trainer, keep_column, report_first
from mitigate.discrepancies import MINIMUM_ROWS, get_discrepancy
from mitigate.pooling import mean_pool, segment_index
from mitigate.provenance import AUGMENTED_COLUMN
from mitigate.tags import BiasTagTokenizer, tag_id
from mitigate.warnings import NoEffectWarning

# Optimizer steps without a single usable batch after which the user is told.
_PATIENCE = 20


class AlignmentLossCallback(TrainerCallback):
    r"""
    Add a loss term that draws the representations of real and augmented rows together.

    The training loss becomes \\( L + \lambda \cdot D(H_r, H_a) \\), where the rows of \\( H_r \\) and \\( H_a \\) are
    the final hidden states of the real and the augmented rows of a micro-batch, averaged over their tokens, and
    \\( D \\) is a discrepancy. It works whatever loss the trainer computes: the term is attached to the
    hidden states in the forward pass, and its gradient joins the others in the backward pass. The reported loss
    remains the trainer's; the term is logged as `alignment/<discrepancy>` (its mean over the micro-batches since the
    last log, without the weight), with `alignment/coverage`, the share of micro-batches that had enough rows of either
    kind.

    As with other auxiliary losses, the term is a mean over micro-batches: it is divided by the number of accumulation
    steps, and does not depend on how many tokens a batch holds.

    Args:
        weight (`float`, *optional*, defaults to 0.1):
            Weight of the term, denoted \\( \lambda \\). At least 0.
        discrepancy (`str` or `Callable`, *optional*, defaults to `"mmd"`):
            `"mean"`, `"coral"`, `"mmd"` (see [`mitigate.discrepancies`]), or a function of two tensors of shapes
            `(n, d)` and `(m, d)` that returns a scalar.
        column (`str`, *optional*, defaults to `"augmented"`):
            Boolean column of the training data set that tells augmented rows.
        tag (`str`, *optional*):
            Token that marks augmented text in data sets without the column, as after packing. By default the tag of
            the trainer's tokenizer if that is a [`BiasTagTokenizer`].

    Raises:
        ValueError: If `weight` is negative or no discrepancy has the given name. When training starts: if no row is
            augmented, if all are, or if the tag is not in the vocabulary.
        ProvenanceError: When training starts, if real and augmented rows cannot be told apart.
        RuntimeError: After the first optimizer step, if the model's backbone never ran.

    Example:
    ```python
    >>> from mitigate.callbacks import AlignmentLossCallback

    >>> trainer = SFTTrainer(..., callbacks=[AlignmentLossCallback(weight=0.1)])
    ```

    Limits: for `Trainer` and `SFTTrainer`. A micro-batch (of all processes together, before accumulation) acts only if
    it holds rows of both kinds, two of each for CORAL and MMD. It refuses to start with preference trainers,
    encoder-decoder models, `nn.DataParallel`, DeepSpeed in fp16, and where one row is split between processes.
    """

    def __init__(
        self,
        weight: float = 0.1,
        *,
        discrepancy: str | Callable[[Tensor, Tensor], Tensor] = "mmd",
        column: str = AUGMENTED_COLUMN,
        tag: str | None = None,
    ) -> None:
        if weight < 0:
            raise ValueError(f"`weight` must be at least 0, got {weight}.")
        self.weight = weight
        self.discrepancy = get_discrepancy(discrepancy) if isinstance(discrepancy, str) else discrepancy
        self.name = discrepancy if isinstance(discrepancy, str) else getattr(discrepancy, "__name__", "discrepancy")
        self.column = column
        self.tag = tag
        self._hooks: BackboneHooks | None = None
        self._trainer: Trainer | None = None

    def on_init_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Keep the provenance column alive."""
        trainer = calling_trainer()
        others = [type(other) for other in trainer.callback_handler.callbacks if other is not self]
        if AlignmentLossCallback in others:
            raise ValueError(
                "Two alignment losses in one trainer (`MitigationCallback(loss=…)` brings one): keep one of them."
            )
        keep_column(trainer, self.column)

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Check the data, and hook the model."""
        trainer = calling_trainer()
        _refuse_unsupported(trainer, kwargs["model"])
        self._remove_hooks()  # an earlier run may have ended with an error, for which there is no event
        tag_ids = self._tag_ids(kwargs["processing_class"])
        check_provenance(trainer, self.column, tag_ids)
        act_on_rows(trainer, kwargs["train_dataloader"], column=self.column, tag_ids=tag_ids, steps=(), emit=True)
        report_first(trainer, self)
        self._trainer = trainer
        self._hooks = BackboneHooks(kwargs["model"], self.column, self._term)
        self._ran = self._acted = self._steps = 0
        self._total: Tensor | float = 0.0

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Make sure that the term is really there."""
        assert self._hooks is not None
        self._steps += 1
        if self._ran == 0 or self._hooks.attached > 0 == self._hooks.returned:
            raise RuntimeError(
                "The alignment loss has no effect: the batches or the model's backbone passed its hooks by, or the "
                "loss does not depend on what the backbone puts out. This trainer or model (fused kernels?) is not "
                "supported; leave `AlignmentLossCallback` out."
            )
        if self._steps == _PATIENCE and self._hooks.attached == 0:
            warnings.warn(
                f"The alignment loss did nothing in the first {_PATIENCE} steps: no micro-batch held {self._needed} "
                f"real and {self._needed} augmented rows. Raise `per_device_train_batch_size`.",
                NoEffectWarning,
                stacklevel=2,
            )

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Add the term to the logs of the training loss."""
        logs: dict[str, Any] = kwargs["logs"]
        if "loss" not in logs or self._ran == 0:
            return
        values = {"alignment/coverage": self._acted / self._ran}
        if self._acted:
            values[f"alignment/{self.name}"] = float(self._total) / self._acted
        logs.update(values)
        # The history got a copy of the logs before the callbacks were called.
        state.log_history[-1].update(values)
        self._ran = self._acted = 0
        self._total = 0.0

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Leave no trace in the model."""
        self._remove_hooks()
        self._trainer = None

    @property
    def _host(self) -> Trainer:
        assert self._trainer is not None  # the hooks that lead here live from its start to its end
        return self._trainer

    @property
    def _processes(self) -> int:
        return int(self._host.accelerator.num_processes)

    @property
    def _needed(self) -> int:
        return MINIMUM_ROWS.get(self.discrepancy, 1)

    def _term(self, hidden: Tensor, kwargs: dict[str, Any], augmented: Tensor) -> tuple[Tensor, Tensor] | None:
        self._ran += 1
        shape = (hidden.shape[0], hidden.shape[1])
        index = segment_index(shape, len(augmented), kwargs.get("attention_mask"), kwargs.get("position_ids"))
        with torch.autocast(hidden.device.type, enabled=False):
            pooled = mean_pool(hidden, index, len(augmented))
            augmented = augmented.to(pooled.device)
            if self._processes > 1:
                pooled, augmented = gather_rows(pooled, augmented, self._host.accelerator)
            sides = pooled[~augmented], pooled[augmented]
            if min(len(side) for side in sides) < self._needed:
                return None
            term = self.discrepancy(*sides)
        self._acted += 1
        self._total = self._total + term.detach()
        return term, self._factor(term)

    def _factor(self, term: Tensor) -> Tensor:
        # Times the processes, for each has the gradient of its own rows only, and they are averaged.
        steps = self._host.current_gradient_accumulation_steps
        factor = torch.full_like(term, self.weight * self._processes / steps)
        scaler = self._host.accelerator.scaler
        return factor if scaler is None else scaler.scale(factor)

    def _tag_ids(self, tokenizer: Any) -> list[int]:
        if self.tag is not None:
            return [tag_id(tokenizer, self.tag)]
        return [tokenizer.augmented_tag_id] if isinstance(tokenizer, BiasTagTokenizer) else []

    def _remove_hooks(self) -> None:
        if self._hooks is not None:
            self._hooks.remove()
            self._hooks = None


def _refuse_unsupported(trainer: Trainer, model: torch.nn.Module) -> None:
    parallelism = trainer.accelerator.parallelism_config
    split = [f"{kind}_size" for kind in ("tp", "cp", "sp") if getattr(parallelism, f"{kind}_enabled", False)]
    reasons = {
        f"{', '.join(split)} > 1 splits a row between processes; use data parallelism (DDP, FSDP, DeepSpeed)": split,
        "`nn.DataParallel` runs several copies of the model at once; start the script with `torchrun` or `accelerate "
        "launch`, or make one GPU visible": trainer.args.n_gpu > 1,
        "DeepSpeed scales an fp16 loss where a callback cannot; use bf16": trainer.is_deepspeed_enabled
        and trainer.args.fp16,
        "the model is an encoder-decoder, whose rows have two sets of hidden states": getattr(
            getattr(model, "config", None), "is_encoder_decoder", False
        ),
    }
    for reason, holds in reasons.items():
        if holds:
            raise ValueError(f"`AlignmentLossCallback` cannot be used here: {reason}.")
