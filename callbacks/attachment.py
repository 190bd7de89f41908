"""Attach a loss term to a model's representations without touching the trainer's loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

# (forward keyword arguments, provenance) -> what the term has to know of the batch
Read = Callable[[dict[str, Any], Tensor], Any]
# (hidden states, what was read) -> (term to attach, its factor given the gradients there), or None to leave it
Term = Callable[[Tensor, Any], "tuple[Tensor, Callable[[list[Tensor]], Tensor]] | None"]


class _Attach(torch.autograd.Function):
    r"""
    Identity whose backward pass also starts that of a scalar: with it, what the backbone put out receives the gradient
    of \\( L + \text{factor} \cdot \text{term} \\) although the loss \\( L \\) knows nothing of the term.

    This is how load-balancing losses of mixtures of experts are attached where the loss is computed elsewhere. All
    outputs go through one function, for nobody knows which of them the model's head reads.
    """

    @staticmethod
    def forward(
        ctx: Any, term: Tensor, factor: Callable[[list[Tensor]], Tensor], hooks: BackboneHooks, *outputs: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.factor = factor
        ctx.like = term.dtype
        ctx.hooks = hooks
        ctx.set_materialize_grads(False)
        return tuple(output.view_as(output) for output in outputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        ctx.hooks.returned += 1
        factor = ctx.factor([grad for grad in grads if grad is not None])
        return factor.to(ctx.like), None, None, *grads


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


def decoder_layer(backbone: nn.Module, layer: int) -> nn.Module | None:
    """
    Find the layer that puts out certain hidden states.

    Args:
        backbone (`torch.nn.Module`):
            A backbone, see [`backbone_of`].
        layer (`int`):
            Index into the model's `hidden_states`: `k` is what the `k`-th layer puts out, -1 the final hidden states.

    Returns:
        `torch.nn.Module` or `None`: The layer; `None` for the final hidden states, those of the backbone.

    Raises:
        ValueError: If the index is out of range or that of the embeddings, or if the layers cannot be told.
    """
    count: int = backbone.config.get_text_config().num_hidden_layers  # type: ignore[union-attr, operator]
    if not -count <= layer <= count or layer == 0:
        raise ValueError(
            f"`layer` must be one of 1 to {count} or -{count} to -1, as the model has {count} layers (0 would be the "
            f"embeddings), got {layer}."
        )
    if layer in (count, -1):
        return None
    found = [
        (name, module)
        for name, module in backbone.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count
    ]
    # Lists within a layer, such as that of its experts, are no lists of layers.
    outer = [module for name, module in found if not any(name.startswith(f"{other}.") for other, _ in found)]
    if len(outer) != 1:
        raise ValueError(
            f"`layer={layer}` cannot be found: `{type(backbone).__name__}` holds {len(outer)} lists of {count} "
            "modules, where one was expected. Leave `layer` out to use the final hidden states."
        )
    return outer[0][layer - 1 if layer > 0 else layer]


class BackboneHooks:
    """
    Hooks that hand a model's hidden states, and the provenance of their rows, to a term.

    The provenance is read from the keyword arguments of the model, and then taken out, for the model would not accept
    it. The term is asked for in training with gradients only: evaluation, generation and reference passes see the
    model as it is.

    A hook on a layer stands outside gradient checkpointing, which recomputes the `forward` of a layer, without hooks
    (transformers), or stands around it as a module of its own (FSDP).

    Args:
        model (`torch.nn.Module`):
            A transformers model, or a PEFT model around one.
        column (`str`):
            Keyword argument that carries the provenance.
        read (`Callable`):
            Reads the rows of a batch, before the model runs.
        term (`Callable`):
            Computes the term.
        layer (`int`, *optional*):
            Index into the model's `hidden_states`; by default the final ones.

    Attributes:
        reached (`int`):
            Batches whose hidden states the term was asked for so far.
        attached (`int`):
            Terms attached so far.
        returned (`int`):
            Terms whose gradient was asked for in a backward pass. Fewer than `attached` if the model's head does not
            use what the backbone puts out.

    Raises:
        ValueError: If the model has no such layer.
    """

    def __init__(self, model: nn.Module, column: str, *, read: Read, term: Term, layer: int | None = None) -> None:
        self._read = read
        self._term = term
        self._rows: Any = None
        self.reached = self.attached = self.returned = 0
        backbone = backbone_of(model)
        place = None if layer is None else decoder_layer(backbone, layer)
        self._handles: list[RemovableHandle] = [
            *read_provenance(model, column, self._read_rows),
            (place or backbone).register_forward_hook(self._attach),
        ]

    def remove(self) -> None:
        """Take the hooks off the model."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _read_rows(self, kwargs: dict[str, Any], provenance: Tensor | None) -> None:
        self._rows = None if provenance is None else self._read(kwargs, provenance)

    # What the hook does depends on the batch, and compiled code would not see it: it runs outside of it.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _attach(self, module: nn.Module, args: Any, output: Any) -> Any:
        # Taken once, so that a second pass within the same forward does not attach the term again.
        rows, self._rows = self._rows, None
        if rows is None or not torch.is_grad_enabled():
            return None
        self.reached += 1
        attached = self._term(output if isinstance(output, Tensor) else output[0], rows)
        if attached is None:
            return None
        self.attached += 1
        if isinstance(output, Tensor):
            return self._passed([output], *attached)[0]
        items = list(enumerate(output)) if isinstance(output, tuple) else list(output.items())
        carrying = {key: value for key, value in items if _carries_gradient(value)}
        new = dict(items) | dict(zip(carrying, self._passed(list(carrying.values()), *attached), strict=True))
        if isinstance(output, tuple):
            return tuple(new.values())
        for key in carrying:
            output[key] = new[key]
        return output

    def _passed(
        self, outputs: list[Tensor], term: Tensor, factor: Callable[[list[Tensor]], Tensor]
    ) -> tuple[Tensor, ...]:
        passed: tuple[Tensor, ...] = _Attach.apply(term, factor, self, *outputs)  # type: ignore[no-untyped-call]
        return passed


def read_provenance(
    model: nn.Module, column: str, read: Callable[[dict[str, Any], Tensor | None], None]
) -> list[RemovableHandle]:
    """
    Hand the provenance of every batch to a reader before the model runs, and keep it from the model.

    Several readers of one model all get it: each reads before any hides it.

    Args:
        model (`torch.nn.Module`):
            The model.
        column (`str`):
            Keyword argument that carries the provenance.
        read (`Callable`):
            Is given the keyword arguments of the model and the provenance, which is `None` where there is none and
            where the model does not train (evaluation, generation, reference passes).

    Returns:
        `list[RemovableHandle]`: Their `remove` methods end this.
    """

    # What it does depends on the batch, and compiled code would not see it: it runs outside of it.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def look(model: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        provenance = kwargs.get(column)
        read(kwargs, provenance if model.training and torch.is_grad_enabled() else None)

    return [model.register_forward_pre_hook(look, prepend=True, with_kwargs=True), hide_provenance(model, column)]


def hide_provenance(model: nn.Module, column: str) -> RemovableHandle:
    """
    Keep the provenance from a model that does not accept it, such as the reference model of a preference trainer.

    Args:
        model (`torch.nn.Module`):
            The model.
        column (`str`):
            Keyword argument that carries the provenance.

    Returns:
        `RemovableHandle`: Its `remove` method ends this.
    """

    def drop(model: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, {key: value for key, value in kwargs.items() if key != column}

    return model.register_forward_pre_hook(drop, with_kwargs=True)


def _carries_gradient(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.requires_grad
