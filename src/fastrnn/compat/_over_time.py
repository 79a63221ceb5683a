"""The cells over time, and the LSTM in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastrnn._cells import CELLS
from fastrnn._check import Array
from fastrnn.compat._cells import CellLayer, check_weights, textbook
from fastrnn.compat._layer import Layer
from fastrnn.ops import _recurrent

# Maximum batch size at which a call with one time step uses the kernel for single steps, which does
# not pack the weights. Such calls come from generation loops and rarely have a backward.
STEP_ROWS = 4


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

    def __init__(self, Wx: Any, Wh: Any, b: Any, stateful: bool = False) -> None:
        super().__init__(Wx, Wh, b)
        self.stateful = stateful
        self.h: Array | None = None
        self.dh: Array | None = None

    def set_state(self, h: Any) -> None:
        """Set the state h (N, H) from which a stateful layer continues; None is zeros."""
        self.h = self._given("h", h)

    def reset_state(self) -> None:
        """Set the state to zeros."""
        self.h = None

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
        return self._run(*self._prepare(xs))

    def backward(self, dhs: Any) -> Array:
        """Fill `grads` and `dh`; return the gradient (N, T, D) of xs from that of the outputs.

        Raises
        ------
        ValueError
            If a shape is wrong, or there was no forward.
        TypeError
            If a dtype is not float32 or float64.
        """
        xs, states, params, stash = self._recorded()
        N, H = states[0].shape
        dhs = self._float32("dhs", dhs, (N, xs.shape[1], H))
        if stash is None:
            _, _, stash = self._train(xs, states, params)
        dxs, (dh, *_), (dweights,) = _recurrent.backward(
            self._cell, dhs, [None] * len(states), stash
        )
        self._set_grads(dweights[: len(self.grads)])
        self.dh = dh
        return dxs

    def _train(
        self, xs: Array, states: list[Array], params: list[Array | None]
    ) -> tuple[Array, list[Array], Any]:
        """Run over time; return the outputs, the final states and a stash."""
        cell = self._cell
        return _recurrent.forward_one(cell, xs, states, params, options=textbook(cell), train=True)

    def _prepare(self, xs: Any) -> tuple[Array, list[Array], list[Array | None]]:
        """Return xs, the initial states and the weights, checked."""
        params = self._weights()
        D, H = (len(W) for W in self.params[:2])
        xs = self._float32("xs", xs, ("N", "T", D))
        return xs, [self._initial(name, len(xs), H) for name in self._cell.states], params

    def _run(self, xs: Array, states: list[Array], params: list[Array | None]) -> Array:
        """Run on prepared arguments, and keep the state and what backward needs."""
        self.cache = stash = None  # the memory of the last one serves the next
        if xs.shape[1] == 1 and len(xs) <= STEP_ROWS:
            x, options = np.ascontiguousarray(xs[:, 0]), textbook(self._cell)
            new: Sequence[Array] = _recurrent.run_step(self._cell, x, states, params, options, None)
            hs = new[0][:, None].copy()
        else:
            hs, new, stash = self._train(xs, states, params)
        self._keep(new)
        self.cache = xs, states, params, stash
        return hs

    def _keep(self, states: Sequence[Array]) -> None:
        """Keep the state after the last step."""
        for name, state in zip(self._cell.states, states, strict=True):
            setattr(self, name, state)

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


class TimeRNN(OverTime):
    """A simple recurrent network over time: ``h' = tanh(x Wx + h Wh + b)``.

    Parameters
    ----------
    Wx : array (D, H)
        Input weights.
    Wh : array (H, H)
        Recurrent weights.
    b : array (H,)
        Bias.
    stateful : bool
        Whether a forward starts from the last state.
    """

    _cell = CELLS["rnn"]


class TimeGRU(OverTime):
    """A gated recurrent unit over time; gates in the order z, r, h.

    ``h' = (1-z)*h + z*tanh(x Wx_h + (r*h) Wh_h + b_h)``: the reset comes before the product.

    Parameters
    ----------
    Wx : array (D, 3*H)
        Input weights.
    Wh : array (H, 3*H)
        Recurrent weights.
    b : array (3*H,)
        Bias.
    stateful : bool
        Whether a forward starts from the last state.
    """

    _cell = CELLS["gru"]


class TimeLSTM(OverTime):
    """A long short-term memory over time; gates in the order f, g, i, o.

    Parameters
    ----------
    Wx : array (D, 4*H)
        Input weights.
    Wh : array (H, 4*H)
        Recurrent weights.
    b : array (4*H,)
        Bias.
    stateful : bool
        Whether a forward starts from the last state.

    Attributes
    ----------
    c : array (N, H) or None
        Cell state, like `h`.
    """

    _cell = CELLS["lstm"]

    def __init__(self, Wx: Any, Wh: Any, b: Any, stateful: bool = False) -> None:
        super().__init__(Wx, Wh, b, stateful)
        self.c: Array | None = None

    def set_state(self, h: Any, c: Any = None) -> None:
        """Set the states h and c (N, H) from which a stateful layer continues; None is zeros."""
        self.h, self.c = self._given("h", h), self._given("c", c)

    def reset_state(self) -> None:
        """Set the state to zeros."""
        self.h = self.c = None


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
        check_weights(self._name, TimeLSTM._cell, self.params[:3], ("Wx1", "Wh1", "b1"))
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
        directions = self._directions()
        prepared = [lstm._prepare(xs) for lstm in directions]
        cell = TimeLSTM._cell
        hs, final, stash = _recurrent.forward(
            cell,
            prepared[0][0],
            [np.stack(both) for both in zip(prepared[0][1], prepared[1][1], strict=True)],
            [params for *_, params in prepared],
            options=textbook(cell),
            reverse=_recurrent.BOTH,
            train=True,
        )
        for index, lstm in enumerate(directions):
            lstm._keep([state[index] for state in final])
        self.cache = hs.shape, stash
        return hs

    def backward(self, dhs: Any) -> Array:
        """Fill `grads`; return the gradient (N, T, D) of xs given that of the outputs."""
        shape, stash = self._recorded()
        dhs = self._float32("dhs", dhs, shape)
        dxs, (dh, _), dweights = _recurrent.backward(TimeLSTM._cell, dhs, (None, None), stash)
        for index, lstm in enumerate((self.forward_lstm, self.backward_lstm)):
            lstm._set_grads(dweights[index])
            lstm.dh = dh[index]
        return dxs

    def _directions(self) -> tuple[TimeLSTM, TimeLSTM]:
        """Return both directions with the current parameters."""
        self.forward_lstm.params[:] = self.params[:3]
        self.backward_lstm.params[:] = self.params[3:]
        return self.forward_lstm, self.backward_lstm
