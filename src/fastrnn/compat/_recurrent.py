"""The recurrent layers: single steps of the cells, cells over time, the LSTM in both directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from fastrnn._cells import CELLS, Cell, Options
from fastrnn._check import Array
from fastrnn.compat._layer import Layer, float32
from fastrnn.ops import _recurrent
from fastrnn.ops._backend import Weights

# Maximum batch size at which a call with one time step uses the kernel for single steps, which does
# not pack the weights. Such calls come from generation loops and rarely have a backward.
STEP_ROWS = 4


def textbook(cell: Cell) -> Options:
    """Return what the backends are told if a cell's gates lie in the order of textbooks."""
    return {"textbook": True} if "textbook" in cell.orders else {}


def check_weights(layer: str, cell: Cell, params: Mapping[str, Any]) -> None:
    """Raise unless the params are Wx, Wh and b of one cell, here under any names."""
    columns, (Wx, Wh, _) = f"{len(cell.gates)}*H", params.items()
    D = len(float32(layer, *Wx, ("D", columns)))
    H = len(float32(layer, *Wh, ("H", columns)))
    for (name, param), shape in zip(params.items(), cell.shapes(D, H).values(), strict=False):
        float32(layer, name, param, shape)


class CellLayer(Layer):
    """The base class of layers with one cell; textbooks have no `bh`, a GRU resets before."""

    _cell: ClassVar[Cell]

    def __init__(self, Wx: Any, Wh: Any, b: Any) -> None:
        super().__init__(Wx=Wx, Wh=Wh, b=b)
        check_weights(self._name, self._cell, {"Wx": Wx, "Wh": Wh, "b": b})

    def _weights(self) -> list[Array | None]:
        """Return the weights as they are now, checked."""
        weights: list[Array | None] = [
            self._float32(name, param, grad.shape, contiguous=True)
            for name, param, grad in zip(("Wx", "Wh", "b"), self.params, self.grads, strict=True)
        ]
        return weights if self._cell.split_bias is None else [*weights, None]

    def _step(self, x: Array, states: Sequence[Array], weights: Weights) -> tuple[Array, ...]:
        """Return the states after one step, which keeps no gates for `backward`."""
        new = _recurrent.run_step(self._cell, x, states, weights, textbook(self._cell), None)
        self.cache = x, states, weights
        return new

    def _train(
        self, xs: Array, states: Sequence[Array], weights: Weights
    ) -> tuple[Array, list[Array], Any]:
        """Run over time; return the outputs, the final states and a stash."""
        options = textbook(self._cell)
        return _recurrent.forward_one(self._cell, xs, states, weights, options=options, train=True)

    def _stash(self) -> Any:
        """Return the stash of the last forward; a single step runs again to make one."""
        cached = self._recorded()
        if not isinstance(cached, tuple):
            return cached
        x, states, weights = cached
        return self._train(x[:, None], states, weights)[2]

    def _gradients(self, dhs: Any, dstates: Sequence[Any], stash: Any) -> tuple[Array, list[Array]]:
        """Fill `grads`; return the gradients of the inputs and of the initial states."""
        dxs, dinitial, (dweights,) = _recurrent.backward(self._cell, dhs, dstates, stash)
        self._set_grads(dweights[: len(self.grads)])
        return dxs, dinitial


class Step(CellLayer):
    """The base class of single steps; a subclass names the states."""

    def _forward(self, x: Any, *states: Any) -> tuple[Array, ...]:
        """Return the states after one more step."""
        weights = self._weights()
        x = self._float32("x", x, ("N", len(self.params[0])), contiguous=True)
        shape = len(x), len(self.params[1])
        names = [f"{name}_prev" for name in self._cell.states]
        return self._step(x, self._checked(names, states, shape), weights)

    def _backward(self, *dstates: Any) -> tuple[Array, ...]:
        """Fill `grads` and return the gradients of x and of the previous states."""
        stash = self._stash()
        names = [f"d{name}_next" for name in self._cell.states]
        dnext = self._checked(names, dstates, stash.shapes[1])
        dxs, dprevious = self._gradients(None, dnext, stash)
        return dxs[:, 0], *dprevious

    def _checked(
        self, names: Sequence[str], states: Sequence[Any], shape: tuple[int, ...]
    ) -> list[Array]:
        return [
            self._float32(name, state, shape, contiguous=True)
            for name, state in zip(names, states, strict=True)
        ]


class HiddenStep(Step):
    """The base class of single steps of cells with the state h only."""

    def forward(self, x: Any, h_prev: Any) -> Array:
        """Return the next h (N, H) from x (N, D) and h."""
        return self._forward(x, h_prev)[0]

    def backward(self, dh_next: Any) -> tuple[Array, ...]:
        """Fill `grads` and return the gradients of x and h_prev from that of the next h."""
        return self._backward(dh_next)


class RNN(HiddenStep):
    """One step of a simple recurrent network: ``h' = tanh(x Wx + h Wh + b)``.

    Parameters
    ----------
    Wx : array (D, H)
        Input weights.
    Wh : array (H, H)
        Recurrent weights.
    b : array (H,)
        Bias.
    """

    _cell = CELLS["rnn"]


class LSTM(Step):
    """One step of a long short-term memory; gates in the order f, g, i, o.

    Parameters
    ----------
    Wx, Wh, b : array (D, 4*H), (H, 4*H), (4*H,)
        As for `RNN`.
    """

    _cell = CELLS["lstm"]

    def forward(self, x: Any, h_prev: Any, c_prev: Any) -> tuple[Array, ...]:
        """Return the next h and c (N, H) from x (N, D), h and c."""
        return self._forward(x, h_prev, c_prev)

    def backward(self, dh_next: Any, dc_next: Any) -> tuple[Array, ...]:
        """Fill `grads`; return the gradients of x, h_prev and c_prev from those of the next."""
        return self._backward(dh_next, dc_next)


class GRU(HiddenStep):
    """One step of a gated recurrent unit; gates in the order z, r, h.

    ``h' = (1-z)*h + z*tanh(x Wx_h + (r*h) Wh_h + b_h)``: the reset comes before the product.

    Parameters
    ----------
    Wx, Wh, b : array (D, 3*H), (H, 3*H), (3*H,)
        As for `RNN`.
    """

    _cell = CELLS["gru"]


class OverTime(CellLayer):
    """A cell over time.

    Attributes
    ----------
    h : array (N, H) or None
        State after the last step of the last forward; None before.
    dh : array (N, H) or None
        Gradient of the initial h, from the last backward.
    stateful : bool
        Whether a forward starts from the last state; else from zeros.
    """

    h: Array | None

    def __init__(self, Wx: Any, Wh: Any, b: Any, stateful: bool = False) -> None:
        super().__init__(Wx, Wh, b)
        self.stateful = stateful
        self.dh: Array | None = None
        self.reset_state()

    def set_state(self, h: Any) -> None:
        """Set the state h (N, H) from which a stateful layer continues; None is zeros."""
        self.h = self._given("h", h)

    def reset_state(self) -> None:
        """Set the state to zeros."""
        self._keep([None] * len(self._cell.states))

    def forward(self, xs: Any) -> Array:
        """Return h (N, T, H) after each step of the inputs xs (N, T, D).

        Neither xs nor the parameters may change before `backward`.

        Raises
        ------
        ValueError
            If a shape is wrong.
        TypeError
            If a dtype is not float32 or float64.
        """
        xs, states, weights = self._prepare(xs)
        self.cache = None  # the memory of the last one serves the next
        new: Sequence[Array]
        if xs.shape[1] == 1 and len(xs) <= STEP_ROWS:
            new = self._step(np.ascontiguousarray(xs[:, 0]), states, weights)
            hs = new[0][:, None].copy()
        else:
            hs, new, self.cache = self._train(xs, states, weights)
        self._keep(new)
        return hs

    def backward(self, dhs: Any) -> Array:
        """Fill `grads` and `dh`; return the gradient (N, T, D) of xs from that of the outputs.

        Raises
        ------
        ValueError
            If a shape is wrong, or there was no forward.
        TypeError
            If a dtype is not float32 or float64.
        """
        stash = self._stash()
        dhs = self._float32("dhs", dhs, stash.shapes[0])
        dxs, (self.dh, *_) = self._gradients(dhs, [None] * len(self._cell.states), stash)
        return dxs

    def _prepare(self, xs: Any) -> tuple[Array, list[Array], list[Array | None]]:
        """Return xs, the initial states and the weights, checked."""
        weights = self._weights()
        D, H = (len(W) for W in self.params[:2])
        xs = self._float32("xs", xs, ("N", "T", D))
        return xs, [self._initial(name, len(xs), H) for name in self._cell.states], weights

    def _initial(self, name: str, N: int, H: int) -> Array:
        """Return an initial state."""
        state = getattr(self, name) if self.stateful else None
        if state is None:
            return np.zeros((N, H), np.float32)
        return self._float32(name, state, (N, H), contiguous=True)

    def _given(self, name: str, state: Any) -> Any:
        """Return a state set by the caller, checked as far as possible without the inputs."""
        if state is not None:
            self._float32(name, state, ("N", len(self.params[1])))
        return state

    def _keep(self, states: Sequence[Array | None]) -> None:
        for name, state in zip(self._cell.states, states, strict=True):
            setattr(self, name, state)


class TimeRNN(OverTime):
    """A simple recurrent network over time: ``h' = tanh(x Wx + h Wh + b)``.

    Parameters
    ----------
    Wx, Wh, b : array (D, H), (H, H), (H,)
        As for `RNN`.
    stateful : bool
        Whether a forward starts from the last state.
    """

    _cell = CELLS["rnn"]


class TimeGRU(OverTime):
    """A gated recurrent unit over time; gates in the order z, r, h.

    Parameters
    ----------
    Wx, Wh, b : array (D, 3*H), (H, 3*H), (3*H,)
        As for `RNN`.
    stateful : bool
        Whether a forward starts from the last state.
    """

    _cell = CELLS["gru"]


class TimeLSTM(OverTime):
    """A long short-term memory over time; gates in the order f, g, i, o.

    Parameters
    ----------
    Wx, Wh, b : array (D, 4*H), (H, 4*H), (4*H,)
        As for `RNN`.
    stateful : bool
        Whether a forward starts from the last state.

    Attributes
    ----------
    c : array (N, H) or None
        Cell state, like `h`.
    """

    _cell = CELLS["lstm"]
    c: Array | None

    def set_state(self, h: Any, c: Any = None) -> None:
        """Set the states h and c (N, H) from which a stateful layer continues; None is zeros."""
        self.h, self.c = self._given("h", h), self._given("c", c)


class TimeBiLSTM(Layer):
    """A long short-term memory in both directions over time, with concatenated outputs.

    Parameters
    ----------
    Wx1, Wh1, b1, Wx2, Wh2, b2 : array
        Parameters of the two directions, as for `TimeLSTM`.
    stateful : bool
        Whether a forward of each direction starts from its last state.

    Attributes
    ----------
    forward_lstm, backward_lstm : TimeLSTM
        The two directions, which hold their states.
    """

    def __init__(
        self, Wx1: Any, Wh1: Any, b1: Any, Wx2: Any, Wh2: Any, b2: Any, stateful: bool = False
    ) -> None:
        super().__init__(Wx1=Wx1, Wh1=Wh1, b1=b1, Wx2=Wx2, Wh2=Wh2, b2=b2)
        check_weights(self._name, TimeLSTM._cell, {"Wx1": Wx1, "Wh1": Wh1, "b1": b1})
        self._float32("Wx2", Wx2, Wx1.shape)
        self._float32("Wh2", Wh2, Wh1.shape)
        self._float32("b2", b2, b1.shape)
        self.forward_lstm = TimeLSTM(Wx1, Wh1, b1, stateful)
        self.backward_lstm = TimeLSTM(Wx2, Wh2, b2, stateful)
        self.grads = self.forward_lstm.grads + self.backward_lstm.grads

    def reset_state(self) -> None:
        """Set the states of both directions to zeros."""
        self.forward_lstm.reset_state()
        self.backward_lstm.reset_state()

    def forward(self, xs: Any) -> Array:
        """Return both h (N, T, 2*H) after each step of the inputs xs (N, T, D)."""
        lstms = self.forward_lstm, self.backward_lstm
        lstms[0].params[:], lstms[1].params[:] = self.params[:3], self.params[3:]
        inputs, states, weights = zip(*(lstm._prepare(xs) for lstm in lstms), strict=True)
        hs, final, self.cache = _recurrent.forward(
            TimeLSTM._cell,
            inputs[0],
            [np.stack(both) for both in zip(*states, strict=True)],
            weights,
            options=textbook(TimeLSTM._cell),
            reverse=_recurrent.BOTH,
            train=True,
        )
        for lstm, *new in zip(lstms, *final, strict=True):
            lstm._keep(new)
        return hs

    def backward(self, dhs: Any) -> Array:
        """Fill `grads`; return the gradient (N, T, D) of xs given that of the outputs."""
        stash = self._recorded()
        dhs = self._float32("dhs", dhs, stash.shapes[0])
        dxs, (dh, _), dweights = _recurrent.backward(TimeLSTM._cell, dhs, (None, None), stash)
        for index, lstm in enumerate((self.forward_lstm, self.backward_lstm)):
            lstm._set_grads(dweights[index])
            lstm.dh = dh[index]
        return dxs
