"""What the operations of all recurrent cells share: checks, call of the backend, stash."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from fastrnn import _check as check
from fastrnn._check import Array, DType
from fastrnn.ops import _backend

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Frozen:
    """The weights of stacked cells as a backend packed them, good as long as it is in use.

    Both methods check nothing themselves: they return None, and have done nothing, where the
    backend is another one or cannot use the arguments as they are.
    """

    backend: str
    data: Any  # the backend's

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


@dataclass(frozen=True)
class Cell:
    """A recurrent cell as `ops` and `layers` see it; the backends know the rest."""

    name: str  # of the public class, the prefix of messages
    kernel: str  # the prefix of the backend's functions
    gates: int
    states: tuple[str, ...] = ("h",)

    def shapes(self, D: int, H: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the weights by name; a cell takes the first three or all."""
        G = self.gates * H
        return {"Wx": (D, G), "Wh": (H, G), "b": (G,), "bh": (H,)}

    def outputs(self, shape: tuple[int, ...], dtype: DType, backend: str | None) -> Array:
        """Return an array for outputs, uninitialised, in memory as the backend wants it."""
        array: Array = _backend.get(backend).empty(shape, dtype)
        return array

    def forward(
        self,
        x: Any,
        states: Sequence[Any],
        weights: Sequence[Any],
        options: Mapping[str, Any] = NO_OPTIONS,
        *,
        train: bool,
        lengths: Any = None,
        reverse: bool = False,
        num_threads: int | None = None,
        backend: str | None = None,
        out: Array | None = None,
        drop_h: Any = None,
        embedding: Array | None = None,
    ) -> tuple[Array, tuple[Array, ...], _backend.Stash | None]:
        """Run over time; the stash is None unless `train`.

        With an `embedding` (V, D), which `takes_embedding` must have agreed to, x are the numbers
        (N, T) of its rows, and the backward gives its gradient in place of that of x.
        """
        weights, D, H, dtype = self._weights(weights, as_they_lie=False)
        given: dict[str, Any] = {}
        if embedding is None:
            x = check.array(self.name, "x", x, ("N", "T", D), dtype)
        else:
            shape = ("V", D)
            embedding = check.array(
                self.name, "embedding", embedding, shape, dtype, contiguous=True
            )
            x = check.integers(self.name, "x", x, ("N", "T"), len(embedding))
            given["embedding"] = embedding
        N, T = x.shape[:2]
        states = [
            check.array_or_zeros(self.name, f"{name}0", state, (N, H), dtype, contiguous=True)
            for name, state in zip(self.states, states, strict=True)
        ]
        if out is not None:
            check.output(self.name, "out", out, (N, T, H), dtype)
        if drop_h is not None:
            drop_h = check.array(self.name, "drop_h", drop_h, (N, H), dtype, contiguous=True)
        lengths = check.lengths(self.name, lengths, N, T)
        num_threads = check.threads(self.name, num_threads)
        chosen = _backend.choose(backend)
        forward = getattr(_backend.get(chosen), f"{self.kernel}_forward")
        y, *last, data = forward(
            x,
            *states,
            *weights,
            **options,
            lengths=lengths,
            reverse=bool(reverse),
            train=train,
            num_threads=num_threads,
            out=out,
            drop_h=drop_h,
            **given,
        )
        stash = _backend.Stash(self.name, chosen, dtype, (y.shape,), data) if train else None
        return y, tuple(last), stash

    def takes_embedding(self, rows: int, inputs: int, backend: str | None) -> bool:
        """Whether `forward` gains by an embedding of so many rows for so many inputs."""
        embeds = getattr(_backend.get(_backend.choose(backend)), "embeds", None)
        return embeds is not None and embeds(rows, inputs)

    def backward(
        self, dy: Any, dstates: Sequence[Any], stash: Any, num_threads: int | None = None
    ) -> tuple[Any, ...]:
        """Return the gradients of x, of the initial states and of the weights, in one tuple."""
        stash = _backend.open_stash(self.name, stash)
        N, T, H = stash.shapes[0]
        dy = check.array_or_zeros(self.name, "dy", dy, (N, T, H), stash.dtype)
        dstates = [
            check.array_or_zeros(
                self.name, f"d{name}", dstate, (N, H), stash.dtype, contiguous=True
            )
            for name, dstate in zip(self.states, dstates, strict=True)
        ]
        num_threads = check.threads(self.name, num_threads)
        backward = getattr(_backend.get(stash.backend), f"{self.kernel}_backward")
        return tuple(backward(dy, *dstates, stash.data, num_threads=num_threads))

    def step(
        self,
        x: Any,
        states: Sequence[Any],
        weights: Sequence[Any],
        options: Mapping[str, Any] = NO_OPTIONS,
        *,
        backend: str | None = None,
    ) -> tuple[Array, ...]:
        """Run one time step; return the new states."""
        weights, D, H, dtype = self._weights(weights, as_they_lie=True)
        x = check.array(self.name, "x", x, ("N", D), dtype, contiguous=True)
        shape = (len(x), H)
        states = [
            check.array(self.name, name, state, shape, dtype, contiguous=True)
            for name, state in zip(self.states, states, strict=True)
        ]
        return self.run_step(x, states, weights, options, backend)

    def run_step(
        self,
        x: Array,
        states: Sequence[Array],
        weights: Sequence[Array | None],
        options: Mapping[str, Any],
        backend: str | None,
    ) -> tuple[Array, ...]:
        """Run one time step on checked, C-contiguous arguments: layers check theirs only once."""
        step = getattr(_backend.get(backend), f"{self.kernel}_step")
        new = step(x, *states, *weights, **options)
        return new if len(self.states) > 1 else (new,)

    def freeze(
        self,
        cells: Sequence[Sequence[Array | None]],
        options: Mapping[str, Any],
        *,
        directions: int,
        residual: bool,
        owners: Iterable[Array],
        backend: str | None,
    ) -> Frozen | None:
        """Pack the checked weights of stacked cells; None where the backend does not pack.

        `cells` come layer by layer, in each the forward direction first; with `residual`, layers
        from the third on add their inputs to their outputs. `owners` are the arrays
        that shall not change: while one of them is writeable, the packed weights are not used.
        """
        chosen = _backend.choose(backend)
        freeze = getattr(_backend.get(chosen), f"{self.kernel}_freeze", None)
        if freeze is None:
            return None
        packed = freeze(cells, directions=directions, residual=residual, owners=owners, **options)
        return Frozen(chosen, packed)

    def directions(
        self,
        calls: Sequence[Callable[..., Any]],
        work: float,
        num_threads: int | None,
        backend: str | None,
    ) -> list[Any]:
        """Return the results of the directions of a layer, run as the backend runs them.

        Each of the `calls` takes `num_threads` by name and does `work` multiply-adds.
        """
        run = getattr(_backend.get(backend), "run_directions", None)
        if run is None:
            return [call(num_threads=num_threads) for call in calls]
        return run(calls, work, num_threads)  # type: ignore[no-any-return]

    def work(self, N: int, T: int, D: int, H: int) -> float:
        """Return the multiply-adds of a forward."""
        return float(N * T * (D + H) * self.gates * H)

    def _weights(
        self, weights: Sequence[Any], *, as_they_lie: bool
    ) -> tuple[list[Array | None], int, int, DType]:
        """Return the weights as a backend wants them, with D, H and the dtype that they set.

        A step reads them as they lie; what packs them takes transposed views, too.
        """
        Wx, Wh, *biases = weights
        dtype = check.float_dtype(self.name, "Wx", Wx)
        G = f"{self.gates}*H"
        Wx = check.weights(self.name, "Wx", Wx, ("D", G), dtype, as_they_lie=as_they_lie)
        Wh = check.weights(self.name, "Wh", Wh, ("H", G), dtype, as_they_lie=as_they_lie)
        D, H = len(Wx), len(Wh)
        ready = [
            None
            if value is None and name == "bh"
            else check.weights(self.name, name, value, shape, dtype, as_they_lie=as_they_lie)
            for (name, shape), value in zip(
                self.shapes(D, H).items(), (Wx, Wh, *biases), strict=False
            )
        ]
        return ready, D, H, dtype
