"""PyTorch: a Python loop over the steps of a cell that it has no layer for, in eager mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, softplus

from cases import WRITTEN, Array, Recurrent
from contenders.base import Contender, Task

States = tuple[Tensor, ...]


def _peephole(states: States, inputs: Tensor, Wh: Tensor, *p: Tensor) -> States:
    (h, c), (p_i, p_f, p_o) = states, p
    i, f, g, o = torch.addmm(inputs, h, Wh).chunk(4, 1)
    c = torch.sigmoid(f + p_f * c) * c + torch.sigmoid(i + p_i * c) * torch.tanh(g)
    return torch.sigmoid(o + p_o * c) * torch.tanh(c), c


def _layer_norm(states: States, inputs: Tensor, Wh: Tensor, *affine: Tensor) -> States:
    def norm(v: Tensor, number: int) -> Tensor:
        return layer_norm(v, v.shape[1:], affine[number], affine[number + 5])

    h, c = states
    i, f, g, o = (norm(v, k) for k, v in enumerate(torch.addmm(inputs, h, Wh).chunk(4, 1)))
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(norm(c, 4)), c


def _slstm(states: States, inputs: Tensor, Wh: Tensor) -> States:
    h, c, n, m = states
    z, i, f, o = torch.addmm(inputs, h, Wh).chunk(4, 1)
    log_f = -softplus(-f)
    new_m = torch.maximum(log_f + m, i)
    f, i = torch.exp(log_f + m - new_m), torch.exp(i - new_m)
    c, n = f * c + i * torch.tanh(z), f * n + i
    return torch.sigmoid(o) * c / n.clamp(min=1e-30), c, n, new_m


_STEPS = {"peephole_lstm": _peephole, "layer_norm_lstm": _layer_norm, "slstm": _slstm}


class Loop(Contender):
    name = "PyTorch loop"
    cells = WRITTEN

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        torch.set_num_threads(threads)

    @classmethod
    def version(cls) -> str:
        return torch.__version__

    @classmethod
    def answers(cls, question: str, case: Any) -> bool:
        return question in ("inference", "training") and super().answers(question, case)

    def step_of(self, cell: str) -> Callable[..., States]:
        """The function of one step."""
        return _STEPS[cell]

    def inference(self, case: Recurrent) -> Task:
        inputs, _ = _arrays(case)
        step = self.step_of(case.cell)

        def run() -> Any:
            with torch.inference_mode():
                return _layer(step, *inputs)

        return Task(
            run, lambda result: [_numpy(result[0].transpose(0, 1)), *map(_numpy, result[1])]
        )

    def training(self, case: Recurrent) -> Task:
        (x, states, *weights), upstream = _arrays(case)
        step = self.step_of(case.cell)
        wanted = [tensor.requires_grad_() for tensor in (x, *states, *weights)]

        def run() -> Any:
            y, final = _layer(step, x, states, *weights)
            return torch.autograd.grad([y, *final], wanted, upstream)

        def read(grads: tuple[Tensor, ...]) -> list[Array]:
            return [_numpy(grads[0].transpose(0, 1)), *map(_numpy, grads[1:])]

        return Task(run, read)


def _layer(
    step: Callable[..., States],
    x: Tensor,
    states: States,
    Wx: Tensor,
    Wh: Tensor,
    b: Tensor,
    *others: Tensor,
) -> tuple[Tensor, States]:
    """y and the last states; x and y are time-major, and the inputs' product precedes the loop."""
    y = []
    for inputs in (x @ Wx + b).unbind(0):
        states = step(states, inputs, Wh, *others)
        y.append(states[0])
    return torch.stack(y), states


def _arrays(case: Recurrent) -> tuple[tuple[Any, ...], list[Tensor]]:
    """The arguments of `_layer`, and the gradients of its results."""
    arrays = {name: torch.from_numpy(array) for name, array in case.arrays().items()}
    weights = [arrays[name] for name in ("Wx", "Wh", "b", *case.vectors)]
    states = tuple(arrays[f"{name}0"] for name in case.states)
    x, dy = (arrays[name].transpose(0, 1).contiguous() for name in ("x", "dy"))
    return (x, states, *weights), [dy, *(arrays[f"d{name}"] for name in case.states)]


def _numpy(tensor: Tensor) -> Array:
    array: Array = tensor.detach().numpy()
    return array


CONTENDER = Loop
