"""Loss-based mitigation: a callback that aligns the representations of real and augmented rows."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

import torch
from accelerate.utils import DynamoBackend
from torch import Tensor
from torch.utils.hooks import RemovableHandle
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from mitigate.alignment import Pooling
from mitigate.batches import is_encoder_decoder
from mitigate.callbacks.attachment import BackboneHooks, hide_provenance
from mitigate.callbacks.checkpoints import load_from_checkpoint, save_in_checkpoint
from mitigate.callbacks.checks import check_groups, unsupported
from mitigate.callbacks.host import act_on_rows, calling_trainer, keep_groups, report_first, require_constructor
from mitigate.callbacks.monitor import ensure_monitor
from mitigate.callbacks.settings import AlignmentSettings
from mitigate.callbacks.term import AlignmentTerm
from mitigate.provenance import AUGMENTED_COLUMN
from mitigate.warnings import NoEffectWarning

logger = logging.getLogger(__name__)

# Optimizer steps without a single usable batch after which the user is told.
_PATIENCE = 20

# File of the term in the trainer's checkpoints.
_STATE_NAME = "alignment.pt"


class AlignmentLossCallback(TrainerCallback):
    r"""
    Add a loss term that draws the representations of real and augmented rows together.

    The training loss becomes \\( L + \lambda \cdot D(H_r, H_a) \\), where the rows of \\( H_r \\) and \\( H_a \\) are
    the final hidden states of the real and the augmented rows of a micro-batch, averaged over their tokens, and
    \\( D \\) is a discrepancy. It works whatever loss the trainer computes: the term is attached to the
    hidden states in the forward pass, and its gradient joins the others in the backward pass. The reported loss
    remains the trainer's; the term is logged as `alignment/<discrepancy>` (its mean over the micro-batches since the
    last log, without the weight), with `alignment/coverage`, the share of micro-batches that had enough rows of either
    kind, and `alignment/effective_rank`, which falls if all representations become alike
    ([`mitigate.alignment.effective_rank`] of the rows last compared). A weight that changes is logged as
    `alignment/weight`.

    As with other auxiliary losses, the term is a mean over micro-batches: it is divided by the number of accumulation
    steps, and does not depend on how many tokens a batch holds. It compares the rows of one micro-batch, of all
    processes together, so the same rows in more and smaller micro-batches give another term. Bank and means are saved
    in the trainer's checkpoints, and a run that resumes goes on as if it had not stopped.

    Args:
        weight (`float`, *optional*, defaults to 0.1):
            Weight of the term, denoted \\( \lambda \\). At least 0.
        discrepancy (`str` or `Callable`, *optional*, defaults to `"mmd"`):
            `"mean"`, `"coral"`, `"mmd"`, `"energy"`, `"sliced_wasserstein"` (see
            [`mitigate.alignment.discrepancies`]), or a function of two tensors of shapes `(n, d)` and `(m, d)` that
            returns a scalar.
        relative (`bool`, *optional*, defaults to `False`):
            Whether `weight` is the ratio of the norms of the gradients of term and loss with respect to the hidden
            states, instead of the factor of the term. It says how much the term counts whatever its units, and does
            not let go as the term becomes small.
        weight_warmup_steps (`int`, *optional*, defaults to 0):
            Optimizer steps in which the weight rises linearly from 0.
        pooling (`"mean"`, `"last"` or `"answer"`, *optional*, defaults to `"mean"`):
            Which hidden states of a row are averaged: all but padding, that of the last token, or those of the tokens
            that count in the loss (label other than -100). Rows without such a token are left out.
        layer (`int`, *optional*):
            Which hidden states: an index into the model's `hidden_states`, so that `k` is what the `k`-th layer puts
            out. By default (and with -1) the final ones. Layers above get no gradient of the term.
        detach_real (`bool`, *optional*, defaults to `False`):
            Whether augmented rows are drawn towards real ones only: no gradient flows through real rows.
        condition (`str`, *optional*):
            What tells the groups of rows that are aligned each by itself; the term is the mean over them, and those
            with too few rows of either kind do not count. `"labels"` are the labels of a sequence classifier; any
            other name is a column of the training data set, of strings, integers or booleans, such as the occupation
            that a row is about. By default all rows are compared.
        bank_size (`int`, *optional*, defaults to 0):
            Past rows of either kind, without gradient, with which those of a micro-batch are compared as well: for
            batches too small to hold rows of both kinds. Takes `2 · bank_size · d` float32 numbers a device.
        bank_warmup_steps (`int`, *optional*, defaults to 0):
            Optimizer steps in which the bank is filled only.
        column (`str`, *optional*, defaults to `"augmented"`):
            Boolean column of the training data set that tells augmented rows.
        tag (`str`, *optional*):
            Token that marks augmented text in data sets without the column, as after packing. By default the tag of
            the trainer's tokenizer if that is a [`BiasTagTokenizer`].

    Raises:
        ValueError: If a setting is out of range or no discrepancy has the given name. When training starts: if no row
            is augmented, if all are, if the tag is not in the vocabulary, or if the model has no such layer. In
            training: if batches lack the labels that `pooling` or `condition` need.
        ProvenanceError: When training starts, if real and augmented rows cannot be told apart.
        RuntimeError: After the first optimizer step, if the model's backbone never ran.

    Example:
    ```python
    >>> from mitigate.callbacks import AlignmentLossCallback

    >>> trainer = SFTTrainer(..., callbacks=[AlignmentLossCallback(weight=0.1)])
    ```

    Limits: a micro-batch (of all processes together, before accumulation) acts only if it and the bank hold rows of
    both kinds, two of each for CORAL, MMD and energy. It refuses to start with encoder-decoder models,
    `nn.DataParallel`, DeepSpeed in fp16, and where one row is split between processes.
    """

    def __init__(
        self,
        weight: float = 0.1,
        *,
        discrepancy: str | Callable[[Tensor, Tensor], Tensor] = "mmd",
        relative: bool = False,
        weight_warmup_steps: int = 0,
        pooling: Pooling = "mean",
        layer: int | None = None,
        detach_real: bool = False,
        condition: str | None = None,
        bank_size: int = 0,
        bank_warmup_steps: int = 0,
        column: str = AUGMENTED_COLUMN,
        tag: str | None = None,
    ) -> None:
        self.settings = AlignmentSettings(
            weight=weight,
            discrepancy=discrepancy,
            relative=relative,
            weight_warmup_steps=weight_warmup_steps,
            pooling=pooling,
            layer=layer,
            detach_real=detach_real,
            condition=condition,
            bank_size=bank_size,
            bank_warmup_steps=bank_warmup_steps,
        )
        self.column = column
        self.tag = tag
        self._hooks: BackboneHooks | None = None
        self._hidden_from: list[RemovableHandle] = []
        self._term: AlignmentTerm | None = None
        self._constructed_for: Trainer | None = None
        self._steps = 0

    def on_init_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Keep the columns alive."""
        trainer = calling_trainer()
        others = [type(other) for other in trainer.callback_handler.callbacks if other is not self]
        if AlignmentLossCallback in others:
            raise ValueError(
                "Two alignment losses in one trainer (`MitigationCallback(loss=…)` brings one): keep one of them."
            )
        self._monitor = ensure_monitor(trainer, self.column, self.tag)
        if self.settings.group_column is not None:
            keep_groups(trainer, self.settings.group_column)
        self._constructed_for = trainer

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
        require_constructor(self, trainer, self._constructed_for)
        groups = self.settings.group_column
        if groups is not None:
            check_groups(trainer, groups)
        act_on_rows(trainer, kwargs["train_dataloader"], self._monitor.source, emit=True, group_column=groups)
        report_first(trainer, self, place=1)  # after the monitor, which checks the data
        term = self._term = AlignmentTerm(self.settings, trainer)
        self._resume(term)
        if trainer.accelerator.state.dynamo_plugin.backend != DynamoBackend.NO:
            # What an earlier training of this process compiled would be used again, without looking for new hooks.
            torch.compiler.reset()
        self._hooks = BackboneHooks(kwargs["model"], self.column, read=term.read, term=term, layer=self.settings.layer)
        reference = getattr(trainer, "ref_model", None)
        if isinstance(reference, torch.nn.Module):
            self._hidden_from.append(hide_provenance(reference, self.column))
        self._steps = 0

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Make sure that the term is really there."""
        assert self._hooks is not None
        self._steps += 1
        if self._hooks.reached == 0 or self._hooks.attached > 0 == self._hooks.returned:
            raise RuntimeError(
                "The alignment loss has no effect: the batches or the model's backbone passed its hooks by, or the "
                "loss does not depend on what the backbone puts out. This trainer or model (fused kernels?) is not "
                "supported; leave `AlignmentLossCallback` out."
            )
        if self._steps == _PATIENCE + self.settings.bank_warmup_steps and self._hooks.attached == 0:
            needed = self.settings.needed
            within = "" if self.settings.condition is None else " of one group"
            warnings.warn(
                f"The alignment loss did nothing in the first {self._steps} steps: no micro-batch held {needed} "
                f"real and {needed} augmented rows{within}. Raise `per_device_train_batch_size`, or `bank_size`.",
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
        if "loss" not in logs or self._term is None or self._term.ran == 0:
            return
        values = self._term.pop_logs()
        logs.update(values)
        # The history got a copy of the logs before the callbacks were called.
        state.log_history[-1].update(values)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Save the bank and the running means."""
        assert self._term is not None
        save_in_checkpoint(calling_trainer(), _STATE_NAME, self._term.state())

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Leave no trace in the model."""
        self._remove_hooks()
        self._term = None

    def _resume(self, term: AlignmentTerm) -> None:
        try:
            state = load_from_checkpoint(_STATE_NAME)
        except FileNotFoundError as error:
            logger.warning(
                "The alignment loss starts anew, with an empty bank: the checkpoint was saved without it (%s).", error
            )
            return
        if state is not None:
            term.load(state)

    def _remove_hooks(self) -> None:
        if self._hooks is not None:
            self._hooks.remove()
            self._hooks = None
        while self._hidden_from:
            self._hidden_from.pop().remove()


def _refuse_unsupported(trainer: Trainer, model: torch.nn.Module) -> None:
    reasons = {
        **unsupported(trainer),
        "DeepSpeed scales an fp16 loss where a callback cannot; use bf16": trainer.is_deepspeed_enabled
        and trainer.args.fp16,
        "the model is an encoder-decoder, whose rows have two sets of hidden states": is_encoder_decoder(model),
    }
    for reason, holds in reasons.items():
        if holds:
            raise ValueError(f"`AlignmentLossCallback` cannot be used here: {reason}.")
