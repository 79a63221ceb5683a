"""What the recurrent layers share: stacking, directions, dropout, residual connections, states."""

from __future__ import annotations

import reprlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from fastrnn import _check as check
from fastrnn import ops
from fastrnn._cells import FIRST_RESIDUAL, NO_OPTIONS, Cell, Options
from fastrnn._check import Array, Rng
from fastrnn._low_precision import FORMATS, Int8, LowPrecision
from fastrnn.layers.base import Layer
from fastrnn.ops import _recurrent
from fastrnn.ops._recurrent import BOTH, FORWARD, Prepacked

State: TypeAlias = Any  # h, or (h, c) for an LSTM
Self = TypeVar("Self", bound="RecurrentLayer")


def check_residual(owner: str, residual: Any, num_layers: Any) -> bool:
    """Return `residual` as a bool; raise if no layer would have such a connection."""
    if residual and num_layers <= FIRST_RESIDUAL:
        wanted = f"num_layers of at least {FIRST_RESIDUAL + 1}, where its connections begin"
        raise ValueError(f"{owner}: residual needs {wanted}, got {num_layers}")
    return bool(residual)


def rebuilt(kind: type[Any], *sizes: int, dropout: Any = 0.0, **options: Any) -> Any:
    """Return a layer as one was, whose maker was warned if its dropout has no effect."""
    alone = options.get("num_layers", 1) == 1
    layer = kind(*sizes, dropout=0.0 if alone else dropout, **options)
    layer.dropout = check.probability(kind.__name__, "dropout", dropout)
    return layer


class RecurrentLayer(Layer):
    """Layers of a recurrent cell, each over the whole sequence, in one or both directions.

    Every array of a state is (num_layers * directions, N, H), h (..., P) where the cell projects
    it: layer by layer, in each the forward direction first.

    Attributes
    ----------
    cell : Cell
        The row of the registry of cells, `fastrnn/_cells.py`, or what `fastrnn.cell.define` made.
    directions : int
        1, or 2 if bidirectional.
    proj_size : int or None
        P, the units of h where the cell projects it.
    output_size : int
        The units of h.
    options : mapping
        What the operations of the cell are told beside its weights.
    """

    cell: Cell
    proj_size: int | None = None
    options: Options = NO_OPTIONS
    _arguments: ClassVar[tuple[str, ...]] = (
        "input_size",
        "hidden_size",
        "num_layers",
        "bidirectional",
        "dropout",
        "recurrent_dropout",
        "residual",
        "dtype",
    )
    _split_bias: bool = True  # whether there is a bias bh, if the cell may have one

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        residual: bool = False,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(rng)
        self.input_size = check.size(self._name, "input_size", input_size)
        self.hidden_size = check.size(self._name, "hidden_size", hidden_size)
        self.num_layers = check.size(self._name, "num_layers", num_layers)
        self.bidirectional = bool(bidirectional)
        self.dropout = check.probability(self._name, "dropout", dropout)
        self.recurrent_dropout = check.probability(
            self._name, "recurrent_dropout", recurrent_dropout
        )
        self._check_cell()
        self.residual = check_residual(self._name, residual, self.num_layers)
        if self.dropout and self.num_layers == 1:
            why = "has no effect with num_layers=1: it drops between layers"
            level = 2 if type(self).__init__ is RecurrentLayer.__init__ else 3
            warnings.warn(f"{self._name}: dropout={self.dropout} {why}", stacklevel=level)
        self.dtype = check.dtype(self._name, dtype)
        self._reverse = BOTH if bidirectional else FORWARD
        self.directions = len(self._reverse)
        H, P, K = self.hidden_size, self.output_size, self.directions
        cells = ((self.input_size, K), (K * P, K * (self.num_layers - 1)))  # widths, and how many
        counts = [(shape, n) for D, n in cells for shape in self.cell.shapes(D, H, P).values()]
        check.parameters(self._name, counts, self.dtype)
        names = [name for name in self.cell.weights if name != "bh" or self._split_bias]
        self._keys = [
            {name: f"{name}_l{layer}{suffix}" for name in names}
            for layer in range(self.num_layers)
            for suffix in ("", "_reverse")[: self.directions]
        ]
        for index, keys in enumerate(self._keys):
            self._add_cell(index, keys)
        self._packed: Prepacked | None = None  # while frozen, if the backend packs
        self._precision = "float32"  # of the frozen weights
        self._to_thaw: dict[str, Array] | None = None  # while frozen, what was writeable before

    @property
    def output_size(self) -> int:
        """The units of h: `proj_size`, or `hidden_size` if there is none."""
        return self.hidden_size if self.proj_size is None else self.proj_size

    def init_state(self, batch_size: int = 1) -> State:
        """Return a state of zeros."""
        N = check.size(self._name, "batch_size", batch_size, least=0)
        return self._join(self._states("", None, N))

    @property
    def frozen(self) -> bool:
        """Whether `freeze` has made the parameters read-only."""
        return self._to_thaw is not None

    def freeze(self: Self, weights: str = "float32") -> Self:
        """Prepare the weights once for all further calls, and return the layer.

        For streaming and other short calls: without it every call packs the weights anew, or reads
        them as they lie. Sets evaluation mode. Until `unfreeze`, the arrays of `params` are
        read-only, no other can be put in their place, and `train` is an error. Views of them that
        were made before must not be written to.

        Copies, pickles and files of a frozen layer are not frozen themselves.

        Parameters
        ----------
        weights : {"float32", "bfloat16", "int8"}
            What the calls read: the weights as they are (also if they are float64), or, of an RNN,
            LSTM or GRU in float32, Wx and Wh in fewer bits. With "bfloat16" they are rounded to 8
            significant bits, and computed with as float32. With "int8" each column is integers from
            -127 to 127 times a scale; x and h are quantized in the same way, row by row, as they
            come. `params` stay as they are.

        Raises
        ------
        ValueError, TypeError
            If a parameter was replaced by something of another shape or dtype, `weights` is
            unknown, the layer cannot have them, is frozen with others, or a weight is not finite.
        """
        weights = check.option(self._name, "weights", weights, ("float32", *FORMATS))
        if self.frozen:
            if weights != self._precision:
                why = f"the layer is frozen with {self._precision}"
                raise ValueError(f"{self._name}: freeze({weights!r}) needs unfreeze() first, {why}")
            return self
        params = {key: np.asanyarray(param) for key, param in self.params.items()}
        packed = _recurrent.freeze(
            self.cell,
            self.weights() if weights == "float32" else self._in_fewer_bits(weights),
            options=self.options,
            directions=self.directions,
            residual=self.residual,
            owners=params.values(),
            backend=self._backend,
        )
        self.eval()
        self._to_thaw = {key: param for key, param in params.items() if param.flags.writeable}
        for param in self._to_thaw.values():
            param.flags.writeable = False
        for key, param in params.items():
            self._params.add(key, param)
        self._params.freeze(True)
        self._packed, self._precision = packed, weights
        return self

    def _in_fewer_bits(self, precision: str) -> list[list[Array | LowPrecision | None]]:
        """Return the weights of every cell, the matrices in another precision."""
        what = f"{self._name}: freeze({precision!r})"
        if self.cell.program is not None:
            raise ValueError(f"{what} needs an RNN, LSTM or GRU, not a cell that is a program")
        if self.dtype != np.float32:
            raise ValueError(f"{what} needs dtype float32, the layer has {self.dtype}")
        rows = max(self.input_size, self.directions * self.output_size)
        if precision == Int8.name and rows > Int8.MOST_ROWS:
            raise ValueError(f"{what} takes matrices of at most {Int8.MOST_ROWS} rows, got {rows}")

        def fewer(key: str, array: Any) -> Any:
            low = array if array.ndim == 1 else FORMATS[precision].of(array)
            whole = array if array.ndim == 1 else low.float32()
            if not (np.isfinite(array).all() and np.isfinite(whole).all()):
                raise ValueError(f"{what} needs finite weights, {key} has some that are not")
            return low

        return [
            [
                None if array is None else fewer(keys[name], array)
                for name, array in zip(self.cell.weights, arrays, strict=True)
            ]
            for keys, arrays in zip(self._keys, self.weights(), strict=True)
        ]

    def unfreeze(self: Self) -> Self:
        """Undo `freeze`, except that the layer stays in evaluation mode; return the layer."""
        for key, param in (self._to_thaw or {}).items():
            try:
                param.flags.writeable = True
            except ValueError:  # after unpickling its memory belongs to a bytes object
                self._params.add(key, param.copy())
        self._packed = self._to_thaw = None
        self._precision = "float32"
        self._params.freeze(False)
        return self

    def train(self: Self) -> Self:
        """Set train mode and return the layer.

        Raises
        ------
        ValueError
            If the layer is frozen.
        """
        if self.frozen:
            raise ValueError(f"{self._name}: train needs unfreeze() first, the layer is frozen")
        return super().train()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out of copies and pickles what `freeze` made."""
        state = super().__getstate__()
        if self.frozen:  # a copy of a read-only array is writeable, a pickle of one may not be
            state["_params"] = {key: param.copy() for key, param in self.params.items()}
        return state | {"_packed": None, "_to_thaw": None, "_precision": "float32"}

    def forward(
        self,
        x: Any,
        state: State = None,
        *,
        lengths: Any = None,
        embedding: Any = None,
        num_threads: int | None = None,
    ) -> tuple[Array, State]:
        """Run over time.

        Parameters
        ----------
        x : array (N, T, input_size), or with an embedding an integer array (N, T)
            Inputs.
        state : optional
            The initial state; the default is zeros.
        lengths : integer array (N,), optional
            The steps of each sequence, 0 to T. Beyond them y is 0 and the state stays.
        embedding : array (V, input_size), optional
            A table whose rows are the inputs; x holds their numbers. Where rows occur often, as
            letters do, their products with the weights are computed once, not at each place.
        num_threads : int, optional
            For this call; the default is that of `fastrnn.get_num_threads`.

        Returns
        -------
        y : array (N, T, directions * output_size)
            The last layer's h after each step, the forward direction's first; with `residual` and
            three layers or more, plus its inputs.
        state
            The state after each sequence's last step.

        Raises
        ------
        ValueError, TypeError
            ValueError if a shape, a length or a row's number is wrong; TypeError if a dtype is.
        """
        packed = self._packed
        if packed and embedding is not None:
            x, embedding = ops.embedding(x, embedding, backend=self._backend), None
        elif packed and packed.looks and lengths is None and num_threads is None:
            result = packed.forward(x, state)
            if result:
                return result
        if embedding is None:
            x = check.array(self._name, "x", x, ("N", "T", self.input_size), self.dtype)
        else:
            shape = ("V", self.input_size)
            embedding = check.array(
                self._name, "embedding", embedding, shape, self.dtype, contiguous=True
            )
            x = check.integers(self._name, "x", x, ("N", "T"), len(embedding))
        states = self._states("", state, len(x))
        lengths = check.lengths(self._name, lengths, *x.shape[:2])
        num_threads = check.threads(self._name, num_threads)
        if packed and (result := packed.forward(x, self._join(states), lengths, num_threads)):
            return result
        self._require_float32(x)
        return self._run(x, states, lengths, embedding, num_threads)

    def _require_float32(self, x: Array) -> None:
        """Raise if results would be those of other weights than those that are frozen."""
        if self._precision != "float32" and x.size:
            why = "the backend or the instruction set is another one, or params are writeable again"
            raise ValueError(f"{self._name}: frozen with {self._precision}, but {why}")

    def _run(
        self,
        x: Array,
        states: list[Array],
        lengths: Array | None,
        embedding: Array | None,
        num_threads: int | None,
    ) -> tuple[Array, State]:
        """Run all layers on checked arguments, and keep what `backward` needs in train mode."""
        shape, train, weights = x.shape[:2], self.training, self.weights()
        final = [np.empty_like(state) for state in states]
        stashes, drops = [], []
        for layer in range(self.num_layers):
            below = x
            if layer > 0 and train and self.dropout:
                x, drop = ops.dropout_forward(x, self.dropout, rng=self.rng, backend=self._backend)
                drops.append(drop)
            cells = self._cells_of(layer)
            y, last, stash = _recurrent.forward(
                self.cell,
                x,
                [state[cells] for state in states],
                weights[cells],
                train=train,
                options=self.options,
                reverse=self._reverse,
                lengths=lengths,
                drop_h=self._drops(shape[0]) if train and self.recurrent_dropout else None,
                embedding=embedding if layer == 0 else None,
                masks=self._masks(*shape) if train else None,
                num_threads=num_threads,
                backend=self._backend,
            )
            stashes.append(stash)
            for array, value in zip(final, last, strict=True):  # quicker than np.concatenate
                array[cells] = value
            x = np.add(y, below, out=y) if self.adds_inputs(layer) else y
        if train:
            self._tape = shape, stashes, drops
        return x, self._join(final)

    def backward(
        self, dy: Any = None, dstate: State = None, *, num_threads: int | None = None
    ) -> tuple[Array, State]:
        """Compute the gradients, from those of the last forward in train mode; fill `grads`.

        Neither the x of that forward nor the parameters, which are not copied, may have changed
        since.

        Parameters
        ----------
        dy : array (N, T, directions * output_size), optional
            Gradient of y; the default is zeros.
        dstate : optional
            Gradient of the final state; the default is zeros.
        num_threads : int, optional
            For this call.

        Returns
        -------
        dx : array (N, T, input_size)
            Gradient of x; that of the embedding (V, input_size), where forward was given one.
        dstate
            Gradient of the initial state.

        Raises
        ------
        ValueError, TypeError
            ValueError if a shape is wrong, or there was no forward in train mode; TypeError if a
            dtype is.
        """
        (N, T), stashes, drops = self._recorded()
        width = self.directions * self.output_size
        dy = check.array_or_zeros(self._name, "dy", dy, (N, T, width), self.dtype)
        dfinal = self._states("d", dstate, N)
        check.threads(self._name, num_threads)
        dinitial: list[list[Array]] = []
        grads: dict[str, Array] = {}
        for layer in reversed(range(self.num_layers)):
            cells = self._cells_of(layer)
            dx, dstates, dweights = _recurrent.backward(
                self.cell, dy, [state[cells] for state in dfinal], stashes[layer], num_threads
            )
            dinitial.insert(0, dstates)
            for keys, parts in zip(self._keys[cells], dweights, strict=True):
                grads |= zip(keys.values(), parts, strict=False)  # dbh is None without bh
            below = ops.dropout_backward(dx, drops[layer - 1]) if layer > 0 and drops else dx
            # y = h + below: what a gradient holds past the lengths ends in the layers underneath
            dy = np.add(below, dy, out=below) if self.adds_inputs(layer) else below
        self._set_grads(grads)
        return dy, self._join([np.concatenate(parts) for parts in zip(*dinitial, strict=True)])

    def step(
        self, x: Any, state: State = None, out: tuple[Array, State] | None = None
    ) -> tuple[Array, State]:
        """Run one time step, without dropout; nothing is kept for `backward`.

        Parameters
        ----------
        x : array (N, input_size)
            The inputs of this step.
        state : optional
            The state before it; the default is zeros.
        out : (y, state), optional
            Arrays for the results, of the shapes and dtype below: no others are made if the layer
            is frozen. They may be those of the arguments:
            ``y, state = layer.step(x, state, out=(y, state))``.

        Returns
        -------
        y : array (N, output_size)
            The last layer's h, with what `forward` adds to it.
        state
            The state after it.

        Raises
        ------
        ValueError, TypeError
            ValueError if a shape is wrong, or the layer is bidirectional; TypeError if a dtype is.
        """
        packed = self._packed
        if packed and packed.looks and (result := packed.step(x, state, out)):
            return result
        if self.bidirectional:
            raise ValueError(f"{self._name}: step needs bidirectional=False, got True")
        x = check.array(self._name, "x", x, ("N", self.input_size), self.dtype, contiguous=True)
        states = self._states("", state, len(x))
        into = None if out is None else self._outputs(out, states)
        result = packed.step(x, self._join(states), None) if packed else None
        if result is None:
            self._require_float32(x)
        y, new = result or self._step(x, states)
        if into is None:
            return y, new
        for array, value in zip(into, [y, *self._parts(new)], strict=True):
            array[...] = value
        return into[0], self._join(into[1:])

    def _step(self, x: Array, states: list[Array]) -> tuple[Array, State]:
        """Run one time step on checked arguments and the weights as they lie."""
        new = [np.empty_like(state) for state in states]
        for k, weights in enumerate(self.weights()):
            own = [state[k] for state in states]
            last = _recurrent.run_step(self.cell, x, own, weights, self.options, self._backend)
            for array, value in zip(new, last, strict=True):
                array[k] = value
            x = last[0] + x if self.adds_inputs(k) else last[0]
        return x, self._join(new)

    def _outputs(self, out: Any, states: list[Array]) -> list[Array]:
        """Return the arrays of `out`, y and those of the state, checked."""
        names = self.cell.states
        wanted = names[0] if len(names) == 1 else f"({', '.join(names)})"
        parts = self._parts(out[1]) if type(out) is tuple and len(out) == 2 else ()
        if len(parts) != len(names):
            raise ValueError(f"{self._name}: out must be (y, {wanted}), got {reprlib.repr(out)}")
        check.output(self._name, "out y", out[0], states[0].shape[1:], self.dtype)
        for name, part, state in zip(names, parts, states, strict=True):
            check.output(self._name, f"out {name}", part, state.shape, self.dtype)
        return [out[0], *parts]

    def weights(self) -> list[list[Any]]:
        """Return the weights of each layer and direction, in the order of `cell.weights`.

        A GRU without `reset_after` has None for bh.
        """
        weights = [[self.param(key) for key in keys.values()] for keys in self._keys]
        whole = len(weights[0]) == len(self.cell.weights)
        return weights if whole else [[*arrays, None] for arrays in weights]

    def adds_inputs(self, layer: int) -> bool:
        """Return whether the outputs of a layer are the sum of its h and its inputs."""
        return self.residual and layer >= FIRST_RESIDUAL

    def _add_cell(self, index: int, keys: Mapping[str, str]) -> None:
        """Draw the weights of one layer and direction."""
        H, P = self.hidden_size, self.output_size
        D = self.input_size if index < self.directions else self.directions * P
        for name, shape in self.cell.shapes(D, H, P).items():
            if len(shape) == 2:
                self._add(keys[name], self._normal(shape, shape[0], self.dtype))
            elif name in keys:
                first_value = self.cell.initial.get(name, 0.0)
                self._add(keys[name], np.full(shape, first_value, self.dtype))
        for gate in self.cell.open_gates:
            first = self.cell.x_gates.index(gate) * H
            self.params[keys["b"]][first : first + H] = 1

    def _drops(self, N: int) -> Array:
        """Draw the factors of h (directions, N, H) of a layer."""
        ones = np.ones((self.directions, N, self.output_size), self.dtype)
        return ops.dropout(ones, self.recurrent_dropout, rng=self.rng, backend=self._backend)

    def _masks(self, N: int, T: int) -> Array | None:
        """Draw the masks (directions, keeps, N, T, H) of a layer whose cell has ``keep``."""
        if not self.cell.keeps:
            return None
        shape = (self.directions, N, T, self.hidden_size)
        masks = [self.rng.random(shape, np.float32) < p for p in self.cell.keeps]
        return np.stack(masks, axis=1).view(np.uint8)

    def _check_cell(self) -> None:
        """Raise ValueError where an argument asks for what the cell does not have."""
        projects = self.cell.projection is not None
        if projects != (self.proj_size is not None):
            wanted = "an integer, as the cell projects h" if projects else "None for this cell"
            raise ValueError(f"{self._name}: proj_size must be {wanted}, got {self.proj_size}")
        if self.recurrent_dropout and not self.cell.h_gates:
            why = "0 for a cell without a product of h and Wh"
            came = self.recurrent_dropout
            raise ValueError(f"{self._name}: recurrent_dropout must be {why}, got {came}")

    def _cells_of(self, layer: int) -> slice:
        """Return the indices of a layer's directions."""
        return slice(layer * self.directions, (layer + 1) * self.directions)

    def _states(self, prefix: str, state: State, N: int) -> list[Array]:
        """Return the arrays of a state or, with the prefix "d", of its gradient."""
        names = self.cell.states
        if state is None or len(names) == 1:
            state = [state] * len(names)
        elif not isinstance(state, (tuple, list)) or len(state) != len(names):
            wanted = ", ".join(prefix + name for name in names)
            came = type(state).__name__
            if isinstance(state, (tuple, list)):
                came = f"a {came} of {len(state)}"
            raise ValueError(f"{self._name}: {prefix}state must be ({wanted}), got {came}")
        widths = self.cell.widths(self.hidden_size, self.output_size)
        shapes = [(len(self._keys), N, width) for width in widths]
        return [
            check.array_or_zeros(
                self._name, prefix + name, array, shape, self.dtype, contiguous=True
            )
            for name, array, shape in zip(names, state, shapes, strict=True)
        ]

    def _parts(self, state: State) -> Sequence[Array]:
        """Return the arrays of a state."""
        if len(self.cell.states) == 1:
            return (state,)
        return state if isinstance(state, tuple) else ()

    def _join(self, states: list[Array]) -> State:
        """Return the state of which `states` are the arrays."""
        return states[0] if len(states) == 1 else tuple(states)
