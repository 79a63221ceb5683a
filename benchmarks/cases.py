"""The timed problems: random inputs and weights, the same for every contender."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._cells import CELLS, Cell

Array = NDArray[Any]

WRITTEN = ("peephole_lstm", "layer_norm_lstm", "slstm")
"""Cells of the library that is written in the language of cells."""

BEFORE = "_before"
"""The end of a cell's name if it resets before the product."""


class _Normal:
    """A source of random float32 arrays with a fixed seed."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)

    def __call__(self, *shape: int, scale: float = 1.0) -> Array:
        return scale * self._rng.standard_normal(shape, np.float32)


@dataclass(frozen=True)
class Recurrent:
    """One layer over a batch; "gru" resets after the product, "gru_before" before it."""

    cell: str
    N: int
    T: int
    D: int
    H: int

    def __str__(self) -> str:
        return f"{self.cell} N{self.N} T{self.T} D{self.D} H{self.H}"

    @classmethod
    def named(cls, name: str) -> Recurrent:
        """The case of which `str` made the name."""
        cell, *sizes = name.split()
        return cls(cell, *(int(size[1:]) for size in sizes))

    @property
    def row(self) -> Cell:
        """The cell in the registry or, if it is written in the language, in its library."""
        if self.cell in WRITTEN:
            cell: Cell = getattr(import_module(f"fastrnn.cell.library.{self.cell}"), self.cell)
            return cell
        return CELLS[self.cell.removesuffix(BEFORE)]

    @property
    def splits_bias(self) -> bool:
        """Whether there is a bias bh: a reset after the product."""
        return self.row.split_bias is not None and not self.cell.endswith(BEFORE)

    @property
    def vectors(self) -> tuple[str, ...]:
        """The weights of one number a hidden unit of a cell that is written in the language."""
        return () if self.row.program is None else self.row.program.vectors

    @property
    def columns(self) -> int:
        """Columns of Wx and Wh."""
        return len(self.row.gates) * self.H

    @property
    def states(self) -> tuple[str, ...]:
        return self.row.states

    @property
    def flops(self) -> float:
        """FLOPs of the products of a forward; a backward has twice as many."""
        return 2.0 * self.N * self.T * self.weights

    @property
    def weights(self) -> int:
        """Number of elements of Wx and Wh."""
        return (self.D + self.H) * self.columns

    def arrays(self) -> dict[str, Array]:
        """x, the initial state, the weights in fastrnn's layout, and gradients of the results."""
        normal, (N, T, D, H) = _Normal(), (self.N, self.T, self.D, self.H)
        columns = self.columns
        arrays = {
            "x": normal(N, T, D),
            "Wx": normal(D, columns, scale=D**-0.5),
            "Wh": normal(H, columns, scale=H**-0.5),
            "b": normal(columns, scale=0.1),
            "dy": normal(N, T, H),
        }
        if self.splits_bias:
            arrays["bh"] = normal(H, scale=0.1)
        for name in self.vectors:
            arrays[name] = self.row.initial.get(name, 0.0) + normal(H, scale=0.1)
        for name in self.states:
            arrays[f"{name}0"], arrays[f"d{name}"] = normal(N, H), normal(N, H)
        if self.cell == "slstm":  # divides by n
            arrays["n0"] = 1 + np.abs(arrays["n0"])
        return arrays


@dataclass(frozen=True)
class Attention:
    """Attention of Tq queries to Tk keys and values, all of one size."""

    score: str
    N: int
    Tq: int
    Tk: int
    size: int

    def __str__(self) -> str:
        return f"{self.score} N{self.N} Tq{self.Tq} Tk{self.Tk} size{self.size}"

    def arrays(self) -> dict[str, Array]:
        """The inputs and the gradient of the context."""
        normal, size = _Normal(), self.size
        return {
            "query": normal(self.N, self.Tq, size),
            "keys": normal(self.N, self.Tk, size, scale=size**-0.5),
            "values": normal(self.N, self.Tk, size),
            "dcontext": normal(self.N, self.Tq, size),
        }

    def weights(self) -> dict[str, Array]:
        """The weights of the score in fastrnn's layout."""
        normal, size = _Normal(), self.size
        matrices = {"general": ("W",), "additive": ("Wq", "Wk")}.get(self.score, ())
        weights = {name: normal(size, size, scale=size**-0.5) for name in matrices}
        return weights | ({"v": normal(size)} if self.score == "additive" else {})


@dataclass(frozen=True)
class Seq2Seq:
    """An LSTM encoder-decoder with dot attention, and a batch of random tokens."""

    N: int
    S: int
    T: int
    source_size: int
    target_size: int
    embedding_size: int
    hidden_size: int
    ragged: bool  # whether the sources have different lengths

    def __str__(self) -> str:
        lengths = "ragged" if self.ragged else "full"
        return f"lstm N{self.N} S{self.S} {lengths} T{self.T} H{self.hidden_size}"

    def batch(self) -> tuple[Array, Array | None, Array]:
        """Source, its lengths and target."""
        rng = np.random.default_rng(0)
        source = rng.integers(3, self.source_size, (self.N, self.S))
        target = rng.integers(3, self.target_size, (self.N, self.T))
        if not self.ragged:
            return source, None, target
        lengths = rng.integers(self.S // 2, self.S + 1, self.N)
        source[np.arange(self.S) >= lengths[:, None]] = 0
        return source, lengths, target


@dataclass(frozen=True)
class BeamSearch:
    """Beam search of a grapheme-to-phoneme model with random weights.

    The end mark is made improbable, so that every target has `max_length` tokens.
    """

    words: int
    letters: int
    hidden_size: int
    beam_size: int = 5
    source_size: int = 32
    target_size: int = 43
    embedding_size: int = 128
    max_length: int = 8
    length_penalty: float = 0.6

    def __str__(self) -> str:
        return f"beam {self.beam_size}, {self.words} words, H{self.hidden_size}"

    def batch(self) -> tuple[Array, Array]:
        """The words and their lengths."""
        rng = np.random.default_rng(0)
        lengths = rng.integers(self.letters - 3, self.letters + 4, self.words)
        source = rng.integers(4, self.source_size, (self.words, lengths.max()))
        source[np.arange(source.shape[1]) >= lengths[:, None]] = 0
        return source, lengths
