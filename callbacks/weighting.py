"""How strongly the alignment term acts beside the trainer's loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import Trainer

from mitigate.callbacks.settings import AlignmentSettings

# Gradients of the loss with respect to what the model puts out there -> the factor of the term's gradient
Factor = Callable[[list[Tensor]], Tensor]


class Weighting:
    r"""
    Give the factor with which the gradient of a micro-batch's term joins that of the loss.

    The loss that the trainer passes backward is divided by the accumulation steps, multiplied by the processes (whose
    gradients are averaged) and by the scale of fp16. So is the term. A relative weight needs none of this: its factor
    is \\( \lambda \lVert \partial L / \partial H \rVert / \lVert \partial D / \partial H \rVert \\), where both norms
    are over the hidden states \\( H \\) of the micro-batch on all processes, and the first has all factors in it.

    Args:
        settings (`AlignmentSettings`):
            Says how much.
        trainer (`Trainer`):
            The trainer.

    Attributes:
        applied (`torch.Tensor` or `float`):
            Sum of the weights applied, as multiples of the term, since it was last set to 0.
    """

    def __init__(self, settings: AlignmentSettings, trainer: Trainer) -> None:
        self._settings = settings
        self._trainer = trainer
        self.applied: Tensor | float = 0.0

    def factor(self, term: Tensor, hidden: Tensor) -> Factor:
        """
        Give the factor for one term.

        Args:
            term (`torch.Tensor`):
                Scalar.
            hidden (`torch.Tensor` of shape `(batch, length, d)`, float):
                Hidden states that it is computed from.

        Returns:
            `Callable`: Called in the backward pass with the gradients of the loss with respect to all outputs that the
            term is attached to; returns a scalar tensor.
        """
        weight = self._settings.weight * self._warmup()
        if not self._settings.relative:
            self.applied += weight
            factor = self._scaled(torch.full_like(term, weight * self._processes / self._steps))
            return lambda grads: factor
        unit = self._scaled(torch.full_like(term, self._processes / self._steps))
        own = term.new_zeros(())
        if term.requires_grad:  # else no row of this process has a gradient, but those of others may
            (gradient,) = torch.autograd.grad(term, hidden, retain_graph=True)
            own = _square(gradient).to(own)

        def relative(grads: list[Tensor]) -> Tensor:
            squares = torch.stack([torch.stack([_square(grad).to(own) for grad in grads]).sum(), own])
            if self._processes > 1:
                squares = self._trainer.accelerator.reduce(squares, reduction="sum")
            # A term without a gradient, as that of identical rows, stays without.
            factor = (squares[0] / squares[1]).sqrt().where(squares[1] > 0, 0) * weight
            self.applied = self.applied + factor / unit
            return factor

        return relative

    @property
    def _processes(self) -> int:
        return int(self._trainer.accelerator.num_processes)

    @property
    def _steps(self) -> int:
        return int(self._trainer.current_gradient_accumulation_steps)

    def _warmup(self) -> float:
        steps = self._settings.weight_warmup_steps
        return min(1.0, self._trainer.state.global_step / steps) if steps else 1.0

    def _scaled(self, factor: Tensor) -> Tensor:
        scaler = self._trainer.accelerator.scaler
        return factor if scaler is None else scaler.scale(factor)


def _square(gradient: Tensor) -> Tensor:
    return gradient.to(torch.promote_types(gradient.dtype, torch.float32)).square().sum()
