"""One layer of a recurrent cell in its directions: checks, call of the backend, stash.

States and their gradients are arrays (directions, N, H), h (directions, N, P) where it is
projected; weights come for each direction in the order of `Cell.weights`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fastrnn import _check as check
from fastrnn._cells import NO_OPTIONS, Cell, Options
from fastrnn._check import Array, DType
from fastrnn._low_precision import LowPrecision
from fastrnn.ops import _backend
from fastrnn.ops._backend import Stash, Weights

FORWARD, BOTH = (False,), (False, True)
"""For each direction of a layer, whether it walks from each sequence's last step to the first."""


@dataclass(frozen=True, slots=True)
class Prepacked:
    """The weights of stacked cells as a backend packed them, good as long as it is in use.

    Both methods check nothing themselves: they return None, and have done nothing, where the
    backend is another one or cannot use the arguments as they are.
    """

    backend: str
    data: Any  # the backend's
    looks: bool  # whether it sees for itself if it can use arguments; else they must be checked

    def step(self, x: Any, state: Any, out: Any) -> tuple[Array, Any] | None:
        """Run one time step of all cells: y and the state, in `out` if given."""
        if _backend.choose() != self.backend:
            return None
        result: tuple[Array, Any] | None = self.data.step(x, state, out)
        return result

    def forward(
        self, x: Any, state: Any, lengths: Array | None = None, num_threads: int | None = None
    ) -> tuple[Array, Any] | None:
        """Run all cells over time: y and the state. The last two arguments are checked ones."""
        if _backend.choose() != self.backend:
            return None
        result: tuple[Array, Any] | None = self.data.forward(x, state, lengths, num_threads)
        return result


def forward(
    cell: Cell,
    x: Any,
    states: Sequence[Any],
    weights: Sequence[Sequence[Any]],
    *,
    train: bool = False,
    options: Options = NO_OPTIONS,
    reverse: Sequence[bool] = FORWARD,
    stacked: bool = True,
    lengths: Any = None,
    drop_h: Any = None,
    embedding: Any = None,
    out: Array | None = None,
    masks: Array | None = None,
    num_threads: int | None = None,
    backend: str | None = None,
) -> tuple[Array, list[Array], Stash | None]:
    """Run over time: y, the final states and, if `train`, a stash.

    With an `embedding` (V, D), x holds the numbers (N, T) of its rows, and the backward gives its
    gradient in place of that of x. y is written to `out` (N, T, directions * P), if given. Unless
    `stacked`, there is one direction, and the states and their gradients are arrays (N, H). The
    layer draws the `masks` (directions, keeps, N, T, H), 0 or 1, of a cell with ``keep``.
    """
    name = cell.title
    ready, sizes, dtype = _checked(cell, weights, as_they_lie=False)
    D, _, P = sizes
    if embedding is None:
        x = check.array(name, "x", x, ("N", "T", D), dtype)
    else:
        embedding = check.array(name, "embedding", embedding, ("V", D), dtype, contiguous=True)
        x = check.integers(name, "x", x, ("N", "T"), len(embedding))
    N, T = x.shape[:2]
    outer = (len(reverse), N) if stacked else (N,)
    shapes = [(*outer, width) for width in cell.widths(*sizes[1:])]
    states = [
        check.array_or_zeros(name, f"{state}0", value, shape, dtype, contiguous=True)
        for state, value, shape in zip(cell.states, states, shapes, strict=True)
    ]
    if drop_h is not None:
        drop_h = check.array(name, "drop_h", drop_h, shapes[0], dtype, contiguous=True)
        drop_h = drop_h.reshape(len(reverse), N, P)
    if out is not None:
        check.output(name, "out", out, (N, T, len(reverse) * P), dtype)
    lengths = check.lengths(name, lengths, N, T)
    num_threads = check.threads(name, num_threads)
    chosen = _backend.choose(backend)
    y, finals, data = _backend.get(chosen).recurrent_forward(
        cell,
        x,
        [state.reshape(len(reverse), *state.shape[-2:]) for state in states],
        ready,
        options=options,
        reverse=reverse,
        lengths=lengths,
        train=train,
        drop_h=drop_h,
        embedding=embedding,
        out=out,
        masks=masks,
        num_threads=num_threads,
    )
    finals = [final.reshape(shape) for final, shape in zip(finals, shapes, strict=True)]
    if not train:
        return y, finals, None
    used = {"x": x, "embedding": embedding}
    for suffix, arrays in zip(("", " of the second direction"), ready, strict=False):
        used |= {f"{key}{suffix}": array for key, array in zip(cell.weights, arrays, strict=True)}
    return y, finals, Stash(name, chosen, dtype, (y.shape, *shapes), data, _backend.found(used))


def backward(
    cell: Cell, dy: Any, dstates: Sequence[Any], stash: Any, num_threads: int | None = None
) -> tuple[Array, list[Array], list[Weights]]:
    """Return the gradients of x, of the initial states and, by direction, of the weights."""
    name = cell.title
    stash = _backend.open_stash(name, stash)
    shape, *shapes = stash.shapes
    dy = check.array_or_zeros(name, "dy", dy, shape, stash.dtype)
    dstates = [
        check.array_or_zeros(name, f"d{state}", value, wanted, stash.dtype, contiguous=True)
        for state, value, wanted in zip(cell.states, dstates, shapes, strict=True)
    ]
    num_threads = check.threads(name, num_threads)
    whole = [dstate if dstate.ndim == 3 else dstate[None] for dstate in dstates]
    dx, dstates, dweights = _backend.get(stash.backend).recurrent_backward(
        cell, dy, whole, stash.data, num_threads=num_threads
    )
    dstates = [dstate.reshape(wanted) for dstate, wanted in zip(dstates, shapes, strict=True)]
    return dx, dstates, dweights


def forward_one(
    cell: Cell,
    x: Any,
    states: Sequence[Any],
    weights: Sequence[Any],
    lengths: Any = None,
    reverse: bool = False,
    num_threads: int | None = None,
    backend: str | None = None,
    drop_h: Any = None,
    **options: Any,
) -> tuple[Array, list[Array], Stash | None]:
    """Run one direction, with states (N, H); the other arguments are those of `forward`."""
    options |= {"lengths": lengths, "drop_h": drop_h, "num_threads": num_threads}
    options |= {"reverse": (bool(reverse),), "stacked": False, "backend": backend}
    return forward(cell, x, states, [weights], **options)


def backward_one(
    cell: Cell, dy: Any, dstates: Sequence[Any], stash: Any, num_threads: int | None = None
) -> tuple[Any, ...]:
    """Return the gradients of x, of the initial states and of the weights, in one tuple."""
    dx, dinitial, (dweights,) = backward(cell, dy, dstates, stash, num_threads)
    return dx, *dinitial, *dweights


def step(
    cell: Cell,
    x: Any,
    states: Sequence[Any],
    weights: Sequence[Any],
    *,
    options: Options = NO_OPTIONS,
    backend: str | None = None,
) -> tuple[Array, ...]:
    """Run one time step: x (N, D) and states (N, H) give the new states."""
    name = cell.title
    (ready,), sizes, dtype = _checked(cell, [weights], as_they_lie=True)
    x = check.array(name, "x", x, ("N", sizes[0]), dtype, contiguous=True)
    states = [
        check.array(name, state, value, (len(x), width), dtype, contiguous=True)
        for state, value, width in zip(cell.states, states, cell.widths(*sizes[1:]), strict=True)
    ]
    return run_step(cell, x, states, ready, options, backend)


def run_step(
    cell: Cell,
    x: Array,
    states: Sequence[Array],
    weights: Sequence[Array | None],
    options: Options,
    backend: str | None,
) -> tuple[Array, ...]:
    """Run one time step on checked, C-contiguous arguments: layers check theirs only once."""
    return _backend.get(backend).recurrent_step(cell, x, states, weights, options=options)


def freeze(
    cell: Cell,
    cells: Sequence[Sequence[Array | LowPrecision | None]],
    *,
    options: Options,
    directions: int,
    residual: bool,
    owners: Iterable[Array],
    backend: str | None,
) -> Prepacked | None:
    """Pack the checked weights of stacked cells; None where the backend does not pack.

    `cells` come layer by layer, in each the forward direction first; their matrices may be those of
    `fastrnn._low_precision`, which every backend takes. With `residual`, layers from the third on
    add their inputs to their outputs. `owners` are the arrays that shall not change: while one of
    them is writeable, the packed weights are not used.
    """
    chosen = _backend.choose(backend)
    packed = _backend.get(chosen).recurrent_freeze(
        cell, cells, options=options, directions=directions, residual=residual, owners=owners
    )
    return None if packed is None else Prepacked(chosen, packed, chosen != "reference")


def _checked(
    cell: Cell, weights: Sequence[Sequence[Any]], *, as_they_lie: bool
) -> tuple[list[tuple[Array | None, ...]], tuple[int, int, int], DType]:
    """Return each direction's weights as a backend wants them, with (D, H, P) and their dtype.

    A step reads them as they lie; what packs them takes transposed views, too.
    """
    name, first = cell.title, dict(zip(cell.weights, weights[0], strict=False))
    dtype = check.float_dtype(name, "Wx", first["Wx"])

    def shape_of(key: str, *shape: str) -> tuple[int, ...]:
        return check.weights(name, key, first[key], shape, dtype, as_they_lie=as_they_lie).shape

    D, G = shape_of("Wx", "D", f"{len(cell.x_gates)}*H")
    program = cell.program
    if program is None:
        H = P = shape_of("Wh", "H", f"{len(cell.gates)}*H")[0]
    else:
        H = P = G // len(cell.x_gates)
        if cell.projection is not None:
            P = shape_of(cell.projection, "H", "P")[1]
    sizes = (D, H, P)
    ready = [
        tuple(
            None
            if array is None and key == "bh" and program is None
            else check.weights(name, key, array, wanted, dtype, as_they_lie=as_they_lie)
            for (key, wanted), array in zip(cell.shapes(*sizes).items(), arrays, strict=True)
        )
        for arrays in weights
    ]
    return ready, sizes, dtype
