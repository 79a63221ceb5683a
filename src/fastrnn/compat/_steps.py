"""Single time steps of the cells."""

from __future__ import annotations

from typing import Any

from fastrnn._cells import CELLS
from fastrnn._check import Array
from fastrnn.compat._cells import CellLayer, textbook
from fastrnn.ops._recurrent import backward_one, forward_one, run_step


class Step(CellLayer):
    """The base class of single steps; a subclass names the states."""

    def _forward(self, x: Any, states: tuple[Any, ...]) -> tuple[Array, ...]:
        """Return the states after one more step."""
        weights = self._weights()
        x = self._float32("x", x, ("N", len(self.params[0])), contiguous=True)
        shape = len(x), len(self.params[1])
        states = tuple(
            [
                self._float32(f"{name}_prev", state, shape, contiguous=True)
                for name, state in zip(self._cell.states, states, strict=True)
            ]
        )
        new = run_step(self._cell, x, states, weights, textbook(self._cell), None)
        self.cache = (x, *states)
        return new

    def _backward(self, dstates: tuple[Any, ...]) -> tuple[Array, ...]:
        """Fill `grads` and return the gradients of x and of the previous states."""
        x, *states = self._recorded()
        dstates = tuple(
            self._float32(f"d{name}_next", dstate, states[0].shape, contiguous=True)
            for name, dstate in zip(self._cell.states, dstates, strict=True)
        )
        # The step kept no gates: a forward over one step makes them again.
        cell = self._cell
        _, _, stash = forward_one(
            cell, x[:, None], states, self._weights(), options=textbook(cell), train=True
        )
        dxs, *rest = backward_one(cell, None, dstates, stash)
        count = len(states)
        self._set_grads(rest[count : count + len(self.grads)])
        return (dxs[:, 0], *rest[:count])


class HiddenStep(Step):
    """The base class of single steps of cells with the state h only."""

    def forward(self, x: Any, h_prev: Any) -> Array:
        """Return the next h (N, H) from x (N, D) and h."""
        return self._forward(x, (h_prev,))[0]

    def backward(self, dh_next: Any) -> tuple[Array, ...]:
        """Fill `grads` and return the gradients of x and h_prev from that of the next h."""
        return self._backward((dh_next,))


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
    Wx : array (D, 4*H)
        Input weights.
    Wh : array (H, 4*H)
        Recurrent weights.
    b : array (4*H,)
        Bias.
    """

    _cell = CELLS["lstm"]

    def forward(self, x: Any, h_prev: Any, c_prev: Any) -> tuple[Array, ...]:
        """Return the next h and c (N, H) from x (N, D), h and c."""
        return self._forward(x, (h_prev, c_prev))

    def backward(self, dh_next: Any, dc_next: Any) -> tuple[Array, ...]:
        """Fill `grads`; return the gradients of x, h_prev and c_prev from those of the next."""
        return self._backward((dh_next, dc_next))


class GRU(HiddenStep):
    """One step of a gated recurrent unit; gates in the order z, r, h.

    ``h' = (1-z)*h + z*tanh(x Wx_h + (r*h) Wh_h + b_h)``: the reset comes before the product.

    Parameters
    ----------
    Wx : array (D, 3*H)
        Input weights.
    Wh : array (H, 3*H)
        Recurrent weights.
    b : array (3*H,)
        Bias.
    """

    _cell = CELLS["gru"]
