"""Random problems for every operation, and calls of them in any backend module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from fastrnn._cells import CELLS, Cell, Options
from fastrnn.ops import DecoderWeights
from support.numeric import Array, random_drop, random_lengths
from support.written_cells import PROGRAMS


def _kinds(cell: Cell) -> tuple[str, ...]:
    """The names of what may be chosen about a cell, that of `after` being to give bh."""
    return ("after", "before") if cell.split_bias else cell.options.get("nonlinearity", ())


VARIANTS = tuple(
    f"{cell.name}_{kind}" if kind else cell.name
    for cell in CELLS.values()
    for kind in _kinds(cell) or ("",)
)
DECODER_CELLS = tuple(variant for variant in VARIANTS if variant != "rnn_relu")
TEXTBOOK = tuple(  # what only the backends and `compat` know
    f"{cell.name}_textbook" for cell in CELLS.values() if "textbook" in cell.orders
)
SCORES = ("dot", "scaled_dot", "general", "additive", "multi_head")


@dataclass
class RecurrentProblem:
    """Random arguments for one cell, and calls of it in any backend module."""

    cell: Cell
    x: Array
    states: dict[str, Array]
    weights: dict[str, Array]
    options: Options
    dy: Array
    dstates: dict[str, Array]
    masks: Array | None = None

    @property
    def arguments(self) -> dict[str, Array]:
        """The arrays that have a gradient, by name, in the order of the cell's arguments."""
        return {"x": self.x, **self.states, **self.weights}

    def in_float64(self) -> RecurrentProblem:
        """The same numbers in float64."""

        def wide(arrays: dict[str, Array]) -> dict[str, Array]:
            return {name: array.astype(np.float64) for name, array in arrays.items()}

        return replace(
            self,
            x=self.x.astype(np.float64),
            states=wide(self.states),
            weights=wide(self.weights),
            dy=self.dy.astype(np.float64),
            dstates=wide(self.dstates),
        )

    def forward(
        self,
        module: ModuleType,
        *,
        reverse: bool = False,
        drop_h: Array | None = None,
        train: bool = True,
        **options: Any,
    ) -> tuple[Array, tuple[Array, ...], Any]:
        """Return y, the final states, the stash; evaluation has no masks."""
        y, finals, stash = module.recurrent_forward(
            self.cell,
            self.x,
            [state[None] for state in self.states.values()],
            [self.cell_weights()],
            options=self.options,
            reverse=[reverse],
            drop_h=None if drop_h is None else drop_h[None],
            train=train,
            **{"lengths": None, "masks": self.masks if train else None, **options},
        )
        return y, tuple(final[0] for final in finals), stash

    def backward(self, module: ModuleType, stash: Any, **options: Any) -> dict[str, Array]:
        """Return the gradients by the names of `arguments`."""
        dstates = [dstate[None] for dstate in self.dstates.values()]
        dx, dinitial, (dweights,) = module.recurrent_backward(
            self.cell, self.dy, dstates, stash, **options
        )
        gradients = (dx, *(dstate[0] for dstate in dinitial), *dweights)
        if self.cell_weights()[-1] is None:
            assert gradients[-1] is None
            gradients = gradients[:-1]
        return dict(zip(self.arguments, gradients, strict=True))

    def step(self, module: ModuleType, x: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
        """Return the states after one step from `states`, in which h comes first."""
        result: tuple[Array, ...] = module.recurrent_step(
            self.cell, x, states, self.cell_weights(), options=self.options
        )
        return result

    def objective(self, y: Array, states: tuple[Array, ...]) -> float:
        """The scalar whose gradients are `dy` and `dstates`."""
        pairs = zip((self.dy, *self.dstates.values()), (y, *states), strict=True)
        return float(sum(np.sum(gradient * result) for gradient, result in pairs))

    def cell_weights(self) -> tuple[Array | None, ...]:
        """The arrays in the order of the cell's weights."""
        return tuple(map(self.weights.get, self.cell.weights))


def recurrent_problem(
    variant: str,
    rng: np.random.Generator,
    *,
    N: int = 4,
    T: int = 5,
    D: int = 3,
    H: int = 2,
    dtype: Any = np.float64,
) -> RecurrentProblem:
    """A random problem for one of `VARIANTS`, `TEXTBOOK` or `PROGRAMS`."""
    name, kind = variant, ""
    if variant not in PROGRAMS:
        name, _, kind = variant.partition("_")
    cell = CELLS.get(name) or PROGRAMS[name]
    P = max(1, H // 2) if cell.projection else H

    def normal(*shape: int, scale: float = 1.0) -> Array:
        return (scale * rng.standard_normal(shape)).astype(dtype)

    def weight(*shape: int) -> Array:
        return normal(*shape, scale=1 / max(shape[0], 1) ** 0.5 if len(shape) == 2 else 1)

    shapes = cell.shapes(D, H, P)
    widths = cell.widths(H, P)
    if kind != "after":
        shapes.pop("bh", None)
    options: dict[str, Any] = {"nonlinearity": kind} if "nonlinearity" in cell.options else {}
    if kind == "textbook":
        options["textbook"] = True
    states = {f"{state}0": normal(N, W) for state, W in zip(cell.states, widths, strict=True)}
    if "n0" in states:  # an sLSTM divides by it
        states["n0"] = 1 + np.abs(states["n0"])
    return RecurrentProblem(
        cell=cell,
        weights={name: weight(*shape) for name, shape in shapes.items()},
        x=normal(N, T, D),
        states=states,
        options=options,
        dy=normal(N, T, P),
        dstates={f"d{state}": normal(N, W) for state, W in zip(cell.states, widths, strict=True)},
    )


def everything(
    problem: RecurrentProblem,
    module: ModuleType,
    *,
    num_threads: int | None = None,
    **options: Any,
) -> dict[str, Array]:
    """All that a forward and its backward return, by name."""
    y, states, stash = problem.forward(module, num_threads=num_threads, **options)
    finals = {f"last {name[0]}": state for name, state in zip(problem.states, states, strict=True)}
    gradients = problem.backward(module, stash, num_threads=num_threads)
    return {"y": y, **finals, **{f"d{name}": array for name, array in gradients.items()}}


@dataclass
class AttentionProblem:
    """Random arguments for attention, and calls of it in any backend module."""

    score: str
    inputs: dict[str, Array]
    weights: dict[str, Array]
    dcontext: Array
    dattention: Array
    heads: int

    @property
    def arguments(self) -> dict[str, Array]:
        """The arrays that have a gradient, by name."""
        return {**self.inputs, **self.weights}

    def forward(self, module: ModuleType, **options: Any) -> tuple[Array, Array, Any]:
        """Return context, attention, the stash."""
        defaults = {"lengths": None, "train": True, "score": self.score, "heads": self.heads}
        weights = tuple(self.weights.values())
        result: tuple[Array, Array, Any] = module.attention_forward(
            *self.inputs.values(), weights, **{**defaults, **options}
        )
        return result

    def backward(self, module: ModuleType, stash: Any, **options: Any) -> Mapping[str, Array]:
        """Return the gradients by the names of `arguments`."""
        *dinputs, dweights = module.attention_backward(
            self.dcontext, self.dattention, stash, **options
        )
        return dict(zip(self.arguments, (*dinputs, *dweights), strict=True))


def attention_problem(
    score: str,
    rng: np.random.Generator,
    *,
    N: int = 4,
    Tq: int = 3,
    Tk: int = 5,
    Dq: int = 3,
    Dk: int = 4,
    Dv: int = 2,
    A: int = 5,
    heads: int = 2,
    dtype: Any = np.float64,
) -> AttentionProblem:
    """A random problem for one of `SCORES`.

    Dot products need equal sizes and take Dk; multi_head has so many `heads` of width A.
    """
    if score in ("dot", "scaled_dot"):
        Dq = Dk
    heads = heads if score == "multi_head" else 1
    A *= heads
    shapes: dict[str, dict[str, tuple[int, ...]]] = {
        "general": {"W": (Dq, Dk)},
        "additive": {"Wq": (Dq, A), "Wk": (Dk, A), "v": (A,)},
        "multi_head": {"Wq": (Dq, A), "Wk": (Dk, A), "Wv": (Dv, A), "Wo": (A, Dv)},
    }

    def normal(*shape: int) -> Array:
        return rng.standard_normal(shape).astype(dtype)

    return AttentionProblem(
        score=score,
        inputs={"query": normal(N, Tq, Dq), "keys": normal(N, Tk, Dk), "values": normal(N, Tk, Dv)},
        weights={name: normal(*shape) for name, shape in shapes.get(score, {}).items()},
        dcontext=normal(N, Tq, Dv),
        dattention=normal(N, Tq, Tk),
        heads=heads,
    )


@dataclass
class DecoderProblem:
    """Random arguments for a decoder with attention, and calls of it in any backend module."""

    x: Array
    fed: Array | None
    states: list[Array]
    memory: Array
    cells: list[tuple[Array | None, ...]]
    weights: tuple[Array, ...]
    readout: tuple[Array, ...] | None
    kind: dict[str, Any]  # what else the decoder has
    options: dict[str, Any]  # of the forward
    upstream: list[Any]  # of features, attention, the last features to feed, the last states

    @property
    def decoder(self) -> DecoderWeights:
        """The arrays of the decoder as one."""
        arrays: dict[str, Any] = {"weights": self.weights, "readout": self.readout}
        return DecoderWeights(cells=self.cells, **arrays, **self.kind)

    @property
    def inputs(self) -> tuple[Any, ...]:
        """The arguments of a forward in their order."""
        return self.decoder, self.x, self.fed, self.states, self.memory

    def forward(self, module: ModuleType, **options: Any) -> tuple[Any, ...]:
        """Return features, attention, the last features to feed, the last states, the stash."""
        defaults = {"train": True, **self.options}
        result: tuple[Any, ...] = module.attention_decoder_forward(
            *self.inputs, **{**defaults, **options}
        )
        return result

    def backward(self, module: ModuleType, stash: Any, **options: Any) -> dict[str, Array]:
        """Return the gradients by the names of `arguments`."""
        dx, dfed, dstates, dmemory, *dweights = module.attention_decoder_backward(
            *self.upstream, stash, **options
        )
        return self._named(dx, dfed, dstates, dmemory, *dweights)

    @property
    def arguments(self) -> dict[str, Array]:
        """The arrays that have a gradient, by name."""
        return self._named(
            self.x, self.fed, self.states, self.memory, self.cells, self.weights, self.readout or ()
        )

    def outputs(self, results: tuple[Any, ...]) -> dict[str, Array]:
        """The arrays that a forward returned, by name."""
        features, attention, fed, states, _ = results
        arrays = {"features": features, "attention": attention, "last fed": fed}
        arrays |= {f"last state {i}": state for i, state in enumerate(states)}
        return {name: array for name, array in arrays.items() if array is not None}

    def objective(self, results: tuple[Any, ...]) -> float:
        """The scalar whose gradients are `upstream`."""
        dfeatures, dattention, dfed, dstates = self.upstream
        upstream = (dfeatures, dattention, dfed, *dstates)
        pairs = zip(upstream, (*results[:3], *results[3]), strict=True)
        return float(sum(np.sum(d * value) for d, value in pairs if d is not None))

    @staticmethod
    def _named(
        x: Any, fed: Any, states: Any, memory: Any, cells: Any, weights: Any, readout: Any
    ) -> dict[str, Array]:
        arrays = {"x": x, "fed": fed, "memory": memory}
        arrays |= {f"state {i}": state for i, state in enumerate(states)}
        arrays |= {f"weight {i}": weight for i, weight in enumerate(weights)}
        arrays |= {f"readout {i}": weight for i, weight in enumerate(readout)}
        for k, cell in enumerate(cells):
            arrays |= {f"cell {k} weight {i}": array for i, array in enumerate(cell)}
        return {name: array for name, array in arrays.items() if array is not None}


def decoder_problem(
    variant: str,
    rng: np.random.Generator,
    *,
    context: str = "input_feeding",
    score: str = "general",
    heads: int = 2,
    layers: int = 1,
    residual: bool = False,
    dropped: bool = False,
    ragged: bool = False,
    ended: bool = False,
    N: int = 3,
    T: int = 3,
    S: int = 4,
    E: int = 3,
    H: int = 2,
    M: int = 3,
    A: int = 4,
    R: int | None = 3,
    dtype: Any = np.float64,
) -> DecoderProblem:
    """A random problem with one of `VARIANTS` as cell; R None is the readout by concatenation.

    Lengths of the memory are random if `ragged`, numbers of steps if `ended`.
    Scores by a dot product need equal sizes and take H for the memory.
    """
    if score in ("dot", "scaled_dot"):
        M = H
    F = M + H if R is None else R
    feeding = context == "input_feeding"

    def normal(*shape: int) -> Array:
        scale = max(shape[0], 1) ** -0.5 if len(shape) == 2 else 1.0
        return (scale * rng.standard_normal(shape)).astype(dtype)

    cells: list[tuple[Array | None, ...]] = []
    for k in range(layers):
        width = H if k else E + (F if feeding else M)
        cell = recurrent_problem(variant, rng, N=0, T=0, D=width, H=H, dtype=dtype)
        cells.append(tuple(map(cell.weights.get, cell.cell.weights)))
    state_count = len(cell.cell.states)
    attention = attention_problem(score, rng, N=0, Dq=H, Dk=M, Dv=M, A=A, heads=heads, dtype=dtype)
    drops = (rng.random((layers - 1, N, T, H)) < 0.7) / np.array(0.7)
    return DecoderProblem(
        x=rng.standard_normal((N, T, E)).astype(dtype),
        fed=rng.standard_normal((N, F)).astype(dtype) if feeding else None,
        states=[normal(layers, N, H) for _ in range(state_count)],
        memory=normal(N, S, M),
        cells=cells,
        weights=tuple(
            (weight / max(len(weight), 1) ** 0.5).astype(dtype)
            for weight in attention.weights.values()
        ),
        readout=None if R is None else (normal(M + H, R), normal(R)),
        kind={
            "cell": variant.partition("_")[0],
            "score": score,
            "num_heads": attention.heads,
            "context": context,
            "residual": residual,
        },
        options={
            "lengths": random_lengths(rng, N, S) if ragged else None,
            "drops": drops.astype(dtype) if dropped else None,
            "drop_h": random_drop(rng, (layers, N, H), dtype) if dropped else None,
            "steps": random_lengths(rng, N, T) if ended else None,
        },
        upstream=[
            rng.standard_normal((N, T, F)).astype(dtype),
            normal(N, T, S),
            rng.standard_normal((N, F)).astype(dtype) if feeding else None,
            [normal(layers, N, H) for _ in range(state_count)],
        ],
    )


def parts(state: Any) -> tuple[Array, ...]:
    """The arrays of a layer's state."""
    return state if isinstance(state, tuple) else (state,)


def like(state: Any, rng: np.random.Generator) -> Any:
    """A random state of the same form."""
    arrays = tuple(rng.standard_normal(a.shape).astype(a.dtype) for a in parts(state))
    return arrays if isinstance(state, tuple) else arrays[0]
