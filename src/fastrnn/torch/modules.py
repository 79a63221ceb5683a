"""`LSTM`, `GRU` and `RNN`: PyTorch's modules with another forward.

They are subclasses of PyTorch's modules and inherit everything except the computation: constructor,
parameters and their initial values, state_dict, repr, checks of shapes and their messages.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from fastrnn._cells import CELLS, NO_OPTIONS, Cell, Options
from fastrnn.torch.function import Layer


def unsupported(module: torch.nn.RNNBase) -> str | None:
    """Return the reason why a module cannot run on fastrnn's kernels, or None."""
    if module.proj_size:
        return f"proj_size must be 0, got {module.proj_size}"
    for names, params in zip(module._all_weights, module.all_weights, strict=True):
        for name, param in zip(names, params, strict=True):
            if param.device.type != "cpu":
                return f"{name} must be on the CPU, got {param.device}"
            if param.dtype not in (torch.float32, torch.float64):
                return f"{name} must be float32 or float64, got {param.dtype}"
    return None


class _Compiled(torch.nn.RNNBase):
    """The forward of all three; the rest of a subclass is PyTorch's."""

    _cell: ClassVar[Cell]

    @property
    def _options(self) -> Options:
        return NO_OPTIONS

    @property
    def _dtype(self) -> torch.dtype:
        weight: Any = self.weight_ih_l0
        dtype: torch.dtype = weight.dtype
        return dtype

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Return the outputs and the final state.

        Parameters
        ----------
        input : Tensor or PackedSequence
            (T, N, input_size), with `batch_first` (N, T, input_size), or one sequence
            (T, input_size).
        hx : Tensor or, for an LSTM, (h_0, c_0), optional
            Initial states (num_layers * directions, N, hidden_size), without N for one sequence;
            the default is zeros.

        Returns
        -------
        output : Tensor or PackedSequence
            The last layer's h after each step, in the form of `input`.
        hx
            The state after each sequence's last step.

        Raises
        ------
        ValueError, TypeError, RuntimeError
            If a shape, a dtype or a device is wrong.
        """
        if _recorded():
            return super().forward(input, hx)  # PyTorch's operator, for a trace or an export
        if (reason := unsupported(self)) is not None:
            raise ValueError(f"{self._cell.title}: {reason}")
        if isinstance(input, PackedSequence):
            return self._run_packed(input, hx)
        self._check_tensor("input", input)
        if input.dim() not in (2, 3):
            raise ValueError(f"{self._cell.title}: input must be 2-D or 3-D, got {input.dim()}-D")
        batch_axis = 0 if self.batch_first else 1
        single = input.dim() == 2
        x = input.unsqueeze(batch_axis) if single else input
        states = self._initial(hx, input.dim(), x.size(batch_axis))
        self.check_forward_args(x, self._join(states), None)
        y, final = self._run(x.transpose(0, 1) if self.batch_first else x, states)
        if self.batch_first:
            y = y.transpose(0, 1)
        if single:
            return y.squeeze(batch_axis), self._join(tuple(state.squeeze(1) for state in final))
        return y, self._join(final)

    def _run_packed(self, input: PackedSequence, hx: Any) -> Any:
        """Run over a packed sequence: unpack it, because the kernels take regular arrays."""
        data, batch_sizes, order, inverse = input
        self._check_tensor("input", data)
        states = self._initial(hx, 3, int(batch_sizes[0]))
        states = tuple(_permuted(state, order) for state in states)
        self.check_forward_args(data, self._join(states), batch_sizes)
        x, lengths = pad_packed_sequence(PackedSequence(data, batch_sizes))
        y, final = self._run(x, states, lengths)
        y = pack_padded_sequence(y, lengths).data
        final = tuple(_permuted(state, inverse) for state in final)
        return PackedSequence(y, batch_sizes, order, inverse), self._join(final)

    def _run(
        self, x: Tensor, states: tuple[Tensor, ...], lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run all layers over x (T, N, D); return the outputs and the final states."""
        weights = self.all_weights
        x, *initial = (tensor.to(self._dtype) for tensor in (x, *states))  # in autocast
        directions = 2 if self.bidirectional else 1
        layer = Layer(
            self._cell, self._options, directions, None if lengths is None else lengths.numpy()
        )
        final = []
        for first in range(0, len(weights), directions):
            if first and self.training and self.dropout:
                x = _dropped(x, self.dropout, lengths)
            cells = slice(first, first + directions)
            params = [param for cell in weights[cells] for param in cell]
            x, *last = layer(x, [state[cells] for state in initial], params)
            final.append(last)
        return x, tuple(torch.cat(parts) for parts in zip(*final, strict=True))

    def _initial(self, hx: Any, dim: int, N: int) -> tuple[Tensor, ...]:
        """Return the initial states (num_layers * directions, N, H)."""
        name, count = self._cell.title, len(self._cell.states)
        if hx is None:
            shape = len(self._all_weights), N, self.hidden_size
            return count * (torch.zeros(shape, dtype=self._dtype),)
        states = hx if count > 1 else (hx,)
        if not isinstance(states, (tuple, list)) or len(states) != count:
            raise TypeError(f"{name}: hx must be (h_0, c_0), got {_described(hx)}")
        for state in states:
            self._check_tensor("hx", state)
            if state.dim() != dim:
                wanted = f"{dim}-D, as the input is"
                raise RuntimeError(f"{name}: hx must be {wanted}, got {state.dim()}-D")
        return tuple(state.unsqueeze(1) if dim == 2 else state for state in states)

    def _check_tensor(self, what: str, value: Any) -> None:
        """Raise unless this is a tensor of ours: dtypes may differ only in autocast."""
        name, dtype = self._cell.title, self._dtype
        if not isinstance(value, Tensor):
            raise TypeError(f"{name}: {what} must be a Tensor, got {_described(value)}")
        if value.device.type != "cpu":
            raise ValueError(f"{name}: {what} must be on the CPU, got {value.device}")
        if value.dtype != dtype and not torch.is_autocast_enabled("cpu"):
            raise ValueError(f"{name}: {what} must be {dtype}, as the weights, got {value.dtype}")

    def _join(self, states: tuple[Tensor, ...]) -> Any:
        """Return the states in PyTorch's form."""
        return states if len(states) > 1 else states[0]


class RNN(_Compiled, torch.nn.RNN):
    """`torch.nn.RNN` on fastrnn's kernels.

    Constructor, parameters, inputs and results are those of PyTorch's module. Parameters and inputs
    are float32 or float64, on the CPU; the kernels use `torch.get_num_threads` threads. Gradients
    are of first order.
    """

    _cell = CELLS["rnn"]

    @property
    def _options(self) -> Options:
        return {"nonlinearity": self.nonlinearity}


class LSTM(_Compiled, torch.nn.LSTM):
    """`torch.nn.LSTM` on fastrnn's kernels.

    As for `RNN`; `proj_size` must be 0.

    Raises
    ------
    ValueError
        If `proj_size` is not 0.
    """

    _cell = CELLS["lstm"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.proj_size:
            raise ValueError(f"LSTM: {unsupported(self)}")


class GRU(_Compiled, torch.nn.GRU):
    """`torch.nn.GRU` on fastrnn's kernels, as for `RNN`."""

    _cell = CELLS["gru"]


def _recorded() -> bool:
    """Return whether this call is being traced or exported."""
    tracing: Any = torch.jit.is_tracing  # type: ignore[attr-defined]
    return bool(torch.compiler.is_exporting() or tracing())


def _dropped(x: Tensor, p: float, lengths: Tensor | None) -> Tensor:
    """Apply dropout as PyTorch does: for a packed sequence, draw numbers for packed rows."""
    if lengths is None:
        return dropout(x, p)
    data, batch_sizes, _, _ = pack_padded_sequence(x, lengths)
    return pad_packed_sequence(PackedSequence(dropout(data, p), batch_sizes))[0]


def _permuted(state: Tensor, order: Tensor | None) -> Tensor:
    """Return a state with its sequences in this order."""
    return state if order is None else state.index_select(1, order)


def _described(value: Any) -> str:
    """Return a description of an argument for messages."""
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
