"""Down-weighting, a baseline: augmented rows count less in the loss than real ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.hooks import RemovableHandle
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from mitigate.batches import is_encoder_decoder
from mitigate.callbacks.attachment import read_provenance
from mitigate.callbacks.checks import unsupported
from mitigate.callbacks.host import act_on_rows, calling_trainer, require_constructor, trainer_variable
from mitigate.callbacks.monitor import ensure_monitor
from mitigate.provenance import AUGMENTED_COLUMN


class DownWeightCallback(TrainerCallback):
    r"""
    Let augmented rows count less in the loss.

    The loss of an optimizer step becomes the weighted mean

    $$ L = \frac{\sum_i w_i \ell_i}{\sum_i w_i}, \qquad w_i = \begin{cases} w & \text{if } i \text{ is augmented} \\
    1 & \text{else} \end{cases} $$

    where \\( \ell_i \\) is the cross-entropy of item \\( i \\), and the items are the tokens with a label (other than
    -100) of a language model, or the rows of a classifier. Both sums run over what the trainer takes the mean of: all
    micro-batches of the step, on all processes (with `average_tokens_across_devices=False`, on each process by itself;
    of a model that takes no `num_items_in_batch` in [`~trl.SFTTrainer`], each micro-batch by itself). With
    \\( w = 1 \\) it is the loss of the trainer, and with \\( w = 0 \\) that of training whose augmented rows have no
    label; rows that all have the weight 0 have the loss 0. It is the baseline that a mitigation has to beat: it needs
    no knowledge of the bias, and learns less from augmented rows in all respects.

    Rows are weighted in training alone; the loss of an evaluation stays as it is. Columns, tags and hidden marks tell
    augmented rows as for the other callbacks, so it works with packing, and with LoRA.

    Args:
        weight (`float`, *optional*, defaults to 0.5):
            Weight of augmented rows, denoted \\( w \\), in [0, 1]. Real rows have 1.
        column (`str`, *optional*, defaults to `"augmented"`):
            Boolean column of the training data set that tells augmented rows.

    Raises:
        ValueError: If the weight is out of range. When the trainer is constructed: if its loss is another than that of
            `Trainer` or of `SFTTrainer`. When training starts: if no row is augmented, if all are, or if the model
            is neither a causal language model nor a classifier of one label.
        ProvenanceError: When training starts, if real and augmented rows cannot be told apart.
        RuntimeError: After the first optimizer step, if the loss passed by.

    Example:
    ```python
    >>> from mitigate.callbacks import DownWeightCallback

    >>> trainer = SFTTrainer(..., callbacks=[DownWeightCallback(0.5)])
    ```

    Limits: it reaches the cross-entropy of `Trainer` and of `SFTTrainer` (`loss_type="nll"`), not the losses of
    preference, reward or online trainers, nor one of your own. In `Trainer` it sets the `compute_loss_func`, so that
    the loss of a classifier is a mean over all rows of a step, where transformers adds up those of the micro-batches.
    """

    def __init__(self, weight: float = 0.5, *, column: str = AUGMENTED_COLUMN) -> None:
        if not 0 <= weight <= 1:
            raise ValueError(f"`weight` of augmented rows must lie in [0, 1], got {weight}: real rows have 1.")
        self.weight = weight
        self.column = column
        self._handles: list[RemovableHandle] = []
        self._constructed_for: Trainer | None = None
        self._provenance: Tensor | None = None
        self._scale: Tensor | None = None
        self._reached = 0

    def on_init_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Refuse trainers whose loss cannot be reached, and keep the provenance column."""
        trainer = calling_trainer()
        others = [type(other) for other in trainer.callback_handler.callbacks if other is not self]
        if DownWeightCallback in others:
            raise ValueError(
                "Two callbacks weight the rows of one trainer (`MitigationCallback(augmented_weight=…)` brings one): "
                "keep one of them."
            )
        _refuse_other_losses(trainer)
        self._monitor = ensure_monitor(trainer, self.column)
        if _is_plain(trainer):
            trainer.compute_loss_func = self._compute_loss
        self._constructed_for = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Check the model, and hook it."""
        trainer, model = calling_trainer(), kwargs["model"]
        self._remove_hooks()  # an earlier run may have ended with an error, for which there is no event
        require_constructor(self, trainer, self._constructed_for)
        _refuse_unsupported(trainer, model)
        act_on_rows(trainer, kwargs["train_dataloader"], self._monitor.source, emit=True)
        self._handles = read_provenance(model, self.column, self._keep)
        if not _is_plain(trainer):
            self._handles.append(model.register_forward_hook(self._weigh_fused))
        self._reached = 0

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count the items of the step, of which the trainer has fetched all micro-batches."""
        trainer = calling_trainer()
        self._scale = None
        if trainer_variable("num_items_in_batch") is None:
            return  # the trainer does not count either: each micro-batch has a mean of its own
        counts = torch.stack([self._count(batch) for batch in trainer_variable("batch_samples")]).sum(dim=0)
        counts = counts.to(args.device)
        if args.average_tokens_across_devices and trainer.accelerator.num_processes > 1:
            counts = trainer.accelerator.reduce(counts, reduction="sum")
        self._scale = self._scale_of(counts)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Make sure that the loss is really weighted."""
        if self._reached == 0:
            raise RuntimeError(
                "The weight of augmented rows has no effect: the batches or the loss passed its hooks by. This "
                "trainer or model is not supported; leave `DownWeightCallback` out."
            )

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Leave no trace in the model."""
        self._remove_hooks()

    def _remove_hooks(self) -> None:
        while self._handles:
            self._handles.pop().remove()
        self._provenance = None

    def _keep(self, kwargs: dict[str, Any], provenance: Tensor | None) -> None:
        self._provenance = provenance

    def _count(self, batch: dict[str, Any]) -> Tensor:
        """Count the real and the augmented items of a micro-batch."""
        counted = targets_of(batch["labels"]) != -100
        return _count(counted, augmented_items(batch["labels"], batch[self.column]))

    def _scale_of(self, counts: Tensor) -> Tensor:
        """Give what turns a sum over the number of items into one over the sum of their weights."""
        weights = counts[0] + self.weight * counts[1]
        # Without any weight there is no loss to scale, and nothing to divide by.
        return torch.where(weights > 0, counts.sum() / weights, 0.0)

    def _factors(self, counted: Tensor, augmented: Tensor) -> Tensor:
        scale = self._scale_of(_count(counted, augmented)) if self._scale is None else self._scale
        self._reached += 1
        return torch.where(augmented, self.weight, 1.0) * scale

    # What the hook does depends on the batch, and compiled code would not see it: it runs outside of it.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _weigh_fused(self, model: nn.Module, args: Any, output: Any) -> Any:
        """Weigh the log-probabilities of labels, which TRL sums up and divides by the number of labels."""
        provenance, self._provenance = self._provenance, None
        log_probs = getattr(output, "log_probs", None)
        if provenance is None or log_probs is None:
            return None
        augmented = is_augmented(provenance)[:, 1:]
        if augmented.shape != log_probs.shape:
            raise ValueError(
                f"The model gives {log_probs.shape[1]} predictions for {augmented.shape[1]} tokens of a row, so "
                "`DownWeightCallback` cannot tell which are those of augmented rows: do not use it with prompt tuning."
            )
        output.log_probs = log_probs * self._factors(output.label_mask, augmented)
        return output

    def _compute_loss(self, outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        """Compute the loss of `Trainer`, of which this is the `compute_loss_func`."""
        provenance, self._provenance = self._provenance, None
        logits, targets = outputs["logits"].float(), targets_of(labels)
        logits = logits[:, :-1] if labels.dim() > 1 else logits
        losses = cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="none").view_as(targets)
        counted = targets != -100
        if provenance is not None:
            losses = losses * self._factors(counted, augmented_items(labels, provenance))
        number = counted.sum() if num_items_in_batch is None else torch.as_tensor(num_items_in_batch)
        return losses.sum() / number.to(losses.device).clamp(min=1)


def targets_of(labels: Tensor) -> Tensor:
    """
    Give the labels that there are predictions of.

    Args:
        labels (`torch.Tensor` of shape `(batch, length)` or `(batch,)`, int64):
            Labels of tokens or of rows.

    Returns:
        `torch.Tensor` of shape `(batch, length - 1)` or `(batch,)`, int64: Those of rows, or of all tokens but the
        first, which nothing predicts.
    """
    return labels[:, 1:] if labels.dim() > 1 else labels


def is_augmented(provenance: Tensor) -> Tensor:
    """
    Tell which tokens are those of augmented rows.

    Args:
        provenance (`torch.Tensor` of shape `(batch, length)`, int64):
            Segment and provenance of each token, see [`~mitigate.batches.ProvenanceCollator`].

    Returns:
        `torch.Tensor` of shape `(batch, length)`, bool: Whether each is; padding is not.
    """
    return (provenance >= 0) & (provenance % 2 == 1)


def augmented_items(labels: Tensor, provenance: Tensor) -> Tensor:
    """
    Tell which items of the loss are those of augmented rows.

    Args:
        labels (`torch.Tensor` of shape `(batch, length)` or `(batch,)`, int64):
            Labels of tokens or of rows.
        provenance (`torch.Tensor` of shape `(batch, length)`, int64):
            Segment and provenance of each token.

    Returns:
        `torch.Tensor` of the shape of [`targets_of`] the labels, bool: Whether each is.
    """
    augmented = is_augmented(provenance)
    return augmented[:, 1:] if labels.dim() > 1 else augmented.any(dim=1)


def _count(counted: Tensor, augmented: Tensor) -> Tensor:
    return torch.stack([(counted & ~augmented).sum(), (counted & augmented).sum()])


def _is_plain(trainer: Trainer) -> bool:
    return type(trainer).compute_loss is Trainer.compute_loss


def _refuse_other_losses(trainer: Trainer) -> None:
    if not _is_plain(trainer):
        from trl import SFTTrainer  # not needed with `Trainer`, and slow to import

        if type(trainer).compute_loss is not SFTTrainer.compute_loss:
            raise ValueError(
                f"`{type(trainer).__name__}` computes a loss of its own, which has no tokens or rows to weight: "
                "`DownWeightCallback` works with the losses of `Trainer` and of TRL's `SFTTrainer`. Leave it out."
            )
    arguments = trainer.args
    loss_type = getattr(arguments, "loss_type", "nll")
    settings = {
        "`compute_loss_func`": trainer.compute_loss_func is not None,
        f"`label_smoothing_factor={arguments.label_smoothing_factor:g}`": arguments.label_smoothing_factor != 0,
        f"`loss_type='{loss_type}'`": loss_type != "nll",
    }
    for setting, given in settings.items():
        if given:
            raise ValueError(
                f"{setting} asks for another loss than the one that `DownWeightCallback` weights: keep one of them."
            )


def _refuse_unsupported(trainer: Trainer, model: nn.Module) -> None:
    inner: Any = trainer.accelerator.unwrap_model(model)
    inner = inner.get_base_model() if hasattr(inner, "get_base_model") else inner
    plain, config = _is_plain(trainer), getattr(inner, "config", None)
    loss, kind = getattr(inner, "loss_type", None), getattr(config, "problem_type", None)
    classifies = loss == "ForSequenceClassification" and getattr(config, "num_labels", 1) > 1
    classifies = classifies and kind in (None, "single_label_classification")
    reasons = {
        **unsupported(trainer),
        "the model is an encoder-decoder, whose labels are a text of their own": is_encoder_decoder(model),
        f"the loss of `{type(inner).__name__}` is not the cross-entropy of a causal language model or of a classifier "
        "of one label": plain and loss != "ForCausalLM" and not classifies,
        "`output_router_logits=True` adds a loss of the router, which `Trainer` leaves out beside another loss; use "
        "`SFTTrainer`": plain and bool(getattr(config, "output_router_logits", False)),
    }
    for reason, holds in reasons.items():
        if holds:
            raise ValueError(f"`DownWeightCallback` cannot be used here: {reason}.")
