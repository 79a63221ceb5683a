"""One recurrent layer as a function of PyTorch's autograd, computed by `fastrnn.ops`.

Tensors and arrays share their memory; transposed weights are views.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fastrnn._cells import Cell, Options
from fastrnn._check import Array
from fastrnn.ops import _recurrent
from fastrnn.torch.weights import to_kernel, to_torch


@dataclass(frozen=True)
class Layer:
    """The arguments of a call of a layer, in one or two directions, that are not tensors."""

    cell: Cell
    options: Options
    directions: int
    lengths: Array | None  # if they differ

    def __call__(self, x: Tensor, states: Sequence[Tensor], params: Sequence[Tensor]) -> Any:
        """Return the outputs y (T, N, directions * H) and the final states.

        x is (T, N, D), states are (directions, N, H), params the weights of each direction.
        """
        tensors = (x, *states, *params)
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
            return _Differentiable.apply(self, *tensors)  # type: ignore[no-untyped-call]
        return self.forward(tensors, train=False)[0]

    def forward(self, tensors: Sequence[Tensor], *, train: bool) -> tuple[tuple[Tensor, ...], Any]:
        """Return what a call returns, and the stash of a backward."""
        x, *rest = tensors
        count = len(self.cell.states)
        states = [_array(state) for state in rest[:count]]
        _, N, H = states[0].shape
        y = torch.empty(len(x), N, self.directions * H, dtype=x.dtype)
        _, final, stash = _recurrent.forward(
            self.cell,
            _array(x).swapaxes(0, 1),
            states,
            [to_kernel(self.cell, params) for params in self.by_direction(rest[count:])],
            train=train,
            options=self.options,
            reverse=_recurrent.BOTH[: self.directions],
            lengths=self.lengths,
            out=_array(y).swapaxes(0, 1),
            num_threads=torch.get_num_threads(),
        )
        return (y, *map(torch.from_numpy, final)), stash

    def by_direction(self, items: Sequence[Any]) -> list[Sequence[Any]]:
        """Return the parts of `items` for each direction."""
        size = len(items) // self.directions
        return [items[size * k : size * (k + 1)] for k in range(self.directions)]


class _Differentiable(torch.autograd.Function):
    """A call of a `Layer` with gradients.

    The stashes for the backward live as long as the graph.
    """

    @staticmethod
    def forward(ctx: Any, layer: Layer, *tensors: Tensor) -> tuple[Tensor, ...]:
        results, ctx.stash = layer.forward(tensors, train=True)
        ctx.layer = layer
        # The stash refers to the same memory; this lets autograd notice changes in place.
        ctx.save_for_backward(*tensors)
        return results

    @staticmethod
    def backward(ctx: Any, *dresults: Tensor) -> Any:
        layer: Layer = ctx.layer
        if torch.is_grad_enabled():
            wanted = "create_graph=False: it has first derivatives only"
            raise RuntimeError(f"{layer.cell.title}: backward must be called with {wanted}")
        _ = ctx.saved_tensors  # raises if one was changed, or if the graph was freed
        count = len(layer.cell.states)
        _, x_wanted, *wanted = ctx.needs_input_grad
        dy, *dfinal = (_array(gradient) for gradient in dresults)
        dx, dinitial, grads = _recurrent.backward(
            layer.cell, dy.swapaxes(0, 1), dfinal, ctx.stash, torch.get_num_threads()
        )
        dparams = [
            gradient
            for each, want in zip(grads, layer.by_direction(wanted[count:]), strict=True)
            for gradient in to_torch(layer.cell, each, want)
        ]
        dx_or_none = torch.from_numpy(dx.swapaxes(0, 1)) if x_wanted else None
        return None, dx_or_none, *map(torch.from_numpy, dinitial), *dparams


def _array(tensor: Tensor) -> Array:
    """Return an array with a tensor's memory."""
    array: Array = tensor.numpy(force=True)
    return array
