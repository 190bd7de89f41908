"""Attach a loss term to a model's representations without touching the trainer's loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

# (hidden states, forward keyword arguments, provenance) -> (term to attach, its factor), or None to leave it
Term = Callable[[Tensor, dict[str, Any], Tensor], "tuple[Tensor, Tensor] | None"]


class _Attach(torch.autograd.Function):
    r"""
    Identity whose backward pass also starts that of a scalar: with it, what the backbone put out receives the gradient
    of \\( L + \text{factor} \cdot \text{term} \\) although the loss \\( L \\) knows nothing of the term.

    This is how load-balancing losses of mixtures of experts are attached where the loss is computed elsewhere. All
    outputs go through one function, for nobody knows which of them the model's head reads.
    """

    @staticmethod
    def forward(ctx: Any, term: Tensor, factor: Tensor, hooks: BackboneHooks, *outputs: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(factor)
        ctx.hooks = hooks
        ctx.set_materialize_grads(False)
        return tuple(output.view_as(output) for output in outputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        (factor,) = ctx.saved_tensors
        ctx.hooks.returned += 1
        return factor, None, None, *grads


def backbone_of(model: nn.Module) -> nn.Module:
    """
    Find the part of a model that gives hidden states: all but its head.

    Args:
        model (`torch.nn.Module`):
            A transformers model, or a PEFT model around one.

    Returns:
        `torch.nn.Module`: The backbone.

    Raises:
        TypeError: If it is neither.
    """
    inner = model.get_base_model() if isinstance(model, PeftModel) else model
    if not isinstance(inner, PreTrainedModel):
        raise TypeError(
            f"The alignment loss needs a transformers `PreTrainedModel`, or a PEFT model around one, got "
            f"`{type(inner).__name__}`, which does not say where its hidden states are."
        )
    return inner.base_model


class BackboneHooks:
    """
    Hooks that hand a model's final hidden states, and the provenance of their rows, to a term.

    The provenance is taken out of the keyword arguments of the model, which would not accept it. The term is asked for
    in training with gradients only: evaluation, generation and reference passes see the model as it is.

    Args:
        model (`torch.nn.Module`):
            A transformers model, or a PEFT model around one.
        column (`str`):
            Keyword argument that carries the provenance.
        term (`Callable`):
            Computes the term.

    Attributes:
        attached (`int`):
            Terms attached so far.
        returned (`int`):
            Terms whose gradient was asked for in a backward pass. Fewer than `attached` if the model's head does not
            use what the backbone puts out.
    """

    def __init__(self, model: nn.Module, column: str, term: Term) -> None:
        self._column = column
        self._term = term
        self._kwargs: dict[str, Any] | None = None
        self._provenance: Tensor | None = None
        self.attached = self.returned = 0
        backbone = backbone_of(model)
        self._handles: list[RemovableHandle] = [
            model.register_forward_pre_hook(self._take_provenance, with_kwargs=True),
            backbone.register_forward_hook(self._attach),
        ]

    def remove(self) -> None:
        """Take the hooks off the model."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _take_provenance(self, model: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        kwargs = dict(kwargs)
        self._provenance = kwargs.pop(self._column, None)
        self._kwargs = kwargs
        return args, kwargs

    def _attach(self, backbone: nn.Module, args: Any, output: Any) -> Any:
        # Taken once, so that a second pass within the same forward does not attach the term again.
        provenance, kwargs = self._provenance, self._kwargs
        self._provenance = self._kwargs = None
        if provenance is None or kwargs is None or not (backbone.training and torch.is_grad_enabled()):
            return None
        attached = self._term(output[0], kwargs, provenance)
        if attached is None:
            return None
        term, factor = attached
        self.attached += 1
        items = list(enumerate(output)) if isinstance(output, tuple) else list(output.items())
        carrying = {key: value for key, value in items if _carries_gradient(value)}
        passed: tuple[Tensor, ...] = _Attach.apply(  # type: ignore[no-untyped-call]
            term, factor.to(term), self, *carrying.values()
        )
        new = dict(items) | dict(zip(carrying, passed, strict=True))
        if isinstance(output, tuple):
            return tuple(new.values())
        for key in carrying:
            output[key] = new[key]
        return output


def _carries_gradient(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.requires_grad
