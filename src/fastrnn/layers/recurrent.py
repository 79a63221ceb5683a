"""What the recurrent layers share: stacking, directions, dropout, states and streaming."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from fastrnn import ops
from fastrnn.layers.base import Layer
from fastrnn.ops import _check as check
from fastrnn.ops._check import Array, Rng
from fastrnn.ops._recurrent import NO_OPTIONS, Cell

State: TypeAlias = Any  # h, or (h, c) for an LSTM


class Recurrent(Layer):
    """Layers of a recurrent cell, each over the whole sequence, in one or both directions.

    Every array of a state is (num_layers * directions, N, H): layer by layer, in each the forward
    direction first.
    """

    _cell: ClassVar[Cell]
    _weight_names: tuple[str, ...] = ("Wx", "Wh", "b")
    _options: Mapping[str, str] = NO_OPTIONS

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
        dropout: float = 0.0,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(rng)
        self.input_size = check.size(self._name, "input_size", input_size)
        self.hidden_size = check.size(self._name, "hidden_size", hidden_size)
        self.num_layers = check.size(self._name, "num_layers", num_layers)
        self.bidirectional = bool(bidirectional)
        self.dropout = check.probability(self._name, "dropout", dropout)
        self.dtype = check.dtype(self._name, dtype)
        self._suffixes = ("", "_reverse") if bidirectional else ("",)
        self._keys = [
            [f"{name}_l{layer}{suffix}" for name in self._weight_names]
            for layer in range(self.num_layers)
            for suffix in self._suffixes
        ]
        for index, keys in enumerate(self._keys):
            self._add_cell(index, keys)

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, except `rng`, as JSON has them."""
        return {
            "input_size": self.input_size,
            "hidden_size": self.hidden_size,
            "num_layers": self.num_layers,
            "bidirectional": self.bidirectional,
            "dropout": self.dropout,
            "dtype": self.dtype.name,
        }

    def init_state(self, batch_size: int = 1) -> State:
        """Return a state of zeros."""
        N = check.size(self._name, "batch_size", batch_size, least=0)
        return self._join(self._states("", None, N))

    def forward(
        self,
        x: Any,
        state: State = None,
        *,
        lengths: Any = None,
        num_threads: int | None = None,
    ) -> tuple[Array, State]:
        """Run over time.

        Parameters
        ----------
        x : array (N, T, input_size)
            Inputs.
        state : optional
            The initial state; the default is zeros.
        lengths : integer array (N,), optional
            The steps of each sequence, 0 to T. Beyond them y is 0 and the state stays.
        num_threads : int, optional
            For this call; the default is that of `fastrnn.get_num_threads`.

        Returns
        -------
        y : array (N, T, directions * hidden_size)
            The last layer's h after each step, the forward direction's first.
        state
            The state after each sequence's last step.

        Raises
        ------
        ValueError
            If a shape or a length is wrong.
        TypeError
            If a dtype is wrong.
        """
        x = check.array(self._name, "x", x, ("N", "T", self.input_size), self.dtype)
        N, T, _ = x.shape
        states = self._states("", state, N)
        lengths = check.lengths(self._name, lengths, N, T)
        check.threads(self._name, num_threads)
        weights = [self._weights(index) for index in range(len(self._keys))]
        train = self.training
        final = [np.empty_like(state) for state in states]
        stashes, drops = [], []
        for layer in range(self.num_layers):
            if layer > 0 and train and self.dropout:
                x, drop = ops.dropout_forward(x, self.dropout, rng=self.rng, backend=self._backend)
                drops.append(drop)
            y = np.empty((N, T, len(self._suffixes) * self.hidden_size), self.dtype)
            for index, half, reverse in self._directions(layer, y):
                _, last, stash = self._cell.forward(
                    x,
                    [state[index] for state in states],
                    weights[index],
                    self._options,
                    train=train,
                    lengths=lengths,
                    reverse=reverse,
                    num_threads=num_threads,
                    backend=self._backend,
                    out=half,
                )
                stashes.append(stash)
                for array, value in zip(final, last, strict=True):
                    array[index] = value
            x = y
        if train:
            self._tape = (N, T), stashes, drops
        return x, self._join(final)

    def backward(
        self, dy: Any = None, dstate: State = None, *, num_threads: int | None = None
    ) -> tuple[Array, State]:
        """Compute the gradients, from those of the last forward in train mode; fill `grads`.

        Neither the x of that forward nor the parameters, which are not copied, may have changed
        since.

        Parameters
        ----------
        dy : array (N, T, directions * hidden_size), optional
            Gradient of y; the default is zeros.
        dstate : optional
            Gradient of the final state; the default is zeros.
        num_threads : int, optional
            For this call.

        Returns
        -------
        dx : array (N, T, input_size)
        dstate
            Gradient of the initial state.

        Raises
        ------
        ValueError
            If a shape is wrong, or there was no forward in train mode.
        TypeError
            If a dtype is wrong.
        """
        (N, T), stashes, drops = self._recorded()
        width = len(self._suffixes) * self.hidden_size
        dy = check.array_or_zeros(self._name, "dy", dy, (N, T, width), self.dtype)
        dfinal = self._states("d", dstate, N)
        check.threads(self._name, num_threads)
        dinitial = [np.empty_like(state) for state in dfinal]
        grads: dict[str, Array] = {}
        for layer in reversed(range(self.num_layers)):
            dx = None
            for index, half, _ in self._directions(layer, dy):
                part, *rest = self._cell.backward(
                    half, [state[index] for state in dfinal], stashes[index], num_threads
                )
                dx = part if dx is None else np.add(dx, part, out=dx)
                for array in dinitial:
                    array[index] = rest.pop(0)
                grads |= zip(self._keys[index], rest, strict=False)  # dbh is None without bh
            dy = ops.dropout_backward(dx, drops[layer - 1]) if layer > 0 and drops else dx
        self._set_grads(grads)
        return dy, self._join(dinitial)

    def step(self, x: Any, state: State = None) -> tuple[Array, State]:
        """Run one time step, without dropout; nothing is kept for `backward`.

        Parameters
        ----------
        x : array (N, input_size)
            The inputs of this step.
        state : optional
            The state before it; the default is zeros.

        Returns
        -------
        y : array (N, hidden_size)
            The last layer's h.
        state
            The state after it.

        Raises
        ------
        ValueError
            If a shape is wrong, or the layer is bidirectional.
        TypeError
            If a dtype is wrong.
        """
        if self.bidirectional:
            raise ValueError(f"{self._name}: step needs bidirectional=False, got True")
        x = check.array(self._name, "x", x, ("N", self.input_size), self.dtype, contiguous=True)
        states = self._states("", state, len(x))
        new = [np.empty_like(state) for state in states]
        for index in range(self.num_layers):
            results = self._cell.run_step(
                x,
                [state[index] for state in states],
                self._weights(index),
                self._options,
                self._backend,
            )
            for array, value in zip(new, results, strict=True):
                array[index] = value
            x = results[0]
        return x, self._join(new)

    def _add_cell(self, index: int, keys: list[str]) -> None:
        """Draw the weights of one layer and direction."""
        directions = len(self._suffixes)
        D = self.input_size if index < directions else directions * self.hidden_size
        shapes = self._cell.shapes(D, self.hidden_size)
        for name, key in zip(self._weight_names, keys, strict=True):
            shape = shapes[name]
            self._add(
                key,
                self._normal(shape, shape[0], self.dtype)
                if len(shape) == 2
                else np.zeros(shape, self.dtype),
            )

    def _weights(self, index: int) -> list[Array | None]:
        """Return the weights of one layer and direction, as the cell takes them."""
        return [self._param(key) for key in self._keys[index]]

    def _directions(self, layer: int, y: Array) -> Iterator[tuple[int, Array, bool]]:
        """Yield for each direction its index, its part of the outputs and whether it is reverse."""
        H = self.hidden_size
        for direction in range(len(self._suffixes)):
            index = layer * len(self._suffixes) + direction
            yield index, y[..., direction * H : (direction + 1) * H], direction == 1

    def _states(self, prefix: str, state: State, N: int) -> list[Array]:
        """Return the arrays of a state or, with the prefix "d", of its gradient."""
        names = self._cell.states
        if state is None or len(names) == 1:
            state = [state] * len(names)
        elif not isinstance(state, (tuple, list)) or len(state) != len(names):
            wanted = ", ".join(prefix + name for name in names)
            came = type(state).__name__
            if isinstance(state, (tuple, list)):
                came = f"a {came} of {len(state)}"
            raise ValueError(f"{self._name}: {prefix}state must be ({wanted}), got {came}")
        shape = (len(self._keys), N, self.hidden_size)
        return [
            check.array_or_zeros(
                self._name, prefix + name, array, shape, self.dtype, contiguous=True
            )
            for name, array in zip(names, state, strict=True)
        ]

    def _join(self, states: list[Array]) -> State:
        """Return the state of which `states` are the arrays."""
        return states[0] if len(states) == 1 else tuple(states)
