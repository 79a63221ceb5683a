"""The weights of a decoder, and the checks of them that all its operations share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastrnn import _check as check
from fastrnn._cells import CELLS, Cell
from fastrnn._check import Array, DType
from fastrnn._renamed import renamed, warn
from fastrnn.ops.attention import SCORES, check_heads, score_weights


@renamed(heads="num_heads")
@dataclass(frozen=True, kw_only=True)
class DecoderWeights:
    """A decoder: embedding, stacked cells, attention on request, and a classifier.

    At each step the cells get ``[embedding[token]; constant; ...]``, where the dots are the
    features of the step before (``context="input_feeding"``), or what attention gives for the state
    before (``"input"``), and the classifier gets ``[features; constant]``.

    Attributes
    ----------
    cell : {"rnn", "lstm", "gru"} or Cell
        The cell; "rnn" is the one with tanh. A cell that `fastrnn.cell.define` made must not
        project h.
    cells : sequence of sequences of arrays
        For each layer Wx (D, G*H), Wh (H, G*H), b (G*H,) and for "gru" bh (H,), or None for a reset
        before the product; of a defined cell its own weights. The dtype of the first, float32 or
        float64, is that of all arrays.
    embedding : array (V, E), optional
        Decoding needs it, and `attention_decoder` where it is given tokens.
    output : (array (F + P, V), array (V,)), optional
        The classifier's matrix and bias, for features of width F and a constant of width P.
        Decoding needs them.
    context : {None, "output", "input_feeding", "input"}
        Where the context c of attention over a memory of width M is used (Luong et al. 2015,
        sections 3.1 and 3.3; Bahdanau et al. 2015). None: there is no attention, and the features
        are the output h of the top cell.
    score, num_heads, weights
        As for `fastrnn.ops.attention`; the query has the width H, keys and values M.
    readout : (array (M + H, R), array (R,)) or None
        The features are ``tanh([c; h] Wc + bc)`` (Luong et al. 2015, equation 5), or ``[c; h]``.
    residual : bool
        Whether the third cell and those above it give h plus their input (Wu et al. 2016).
    """

    cell: str | Cell
    cells: Sequence[Sequence[Array | None]]
    embedding: Array | None = None
    output: tuple[Array, Array] | None = None
    context: str | None = None
    score: str = "dot"
    num_heads: int = 1
    weights: Sequence[Array] = ()
    readout: tuple[Array, Array] | None = None
    residual: bool = False

    @property
    def row(self) -> Cell:
        """The cell itself."""
        return self.cell if isinstance(self.cell, Cell) else CELLS[self.cell]

    @property
    def heads(self) -> int:
        """The old name of ``num_heads``."""
        warn("DecoderWeights: heads is now called num_heads")
        return self.num_heads


def check_cells(owner: str, weights: Any) -> tuple[DecoderWeights, int, int, DType]:
    """Check the cells; return the weights, the first cell's sizes D and H, and the dtype."""
    if not isinstance(weights, DecoderWeights):
        came = type(weights).__name__
        raise TypeError(f"{owner}: weights must be DecoderWeights, got {came}")
    if not isinstance(weights.cell, Cell):
        check.option(owner, "cell", weights.cell, CELLS)
    cell, cells = weights.row, weights.cells
    if cell.projection is not None:
        raise ValueError(f"{owner}: cell must not project h, got {cell.title}")
    names = cell.weights
    wanted = f"({', '.join(names)}) for each layer"
    if not isinstance(cells, Sequence) or not len(cells):
        raise ValueError(f"{owner}: cells must be a sequence of {wanted}, got {shown(cells)}")
    for arrays in cells:
        if not isinstance(arrays, Sequence) or len(arrays) != len(names):
            raise ValueError(f"{owner}: cells must be {wanted}, got {shown(arrays)}")
    dtype = check.float_dtype(owner, "Wx_l0", cells[0][0])
    G = len(cell.x_gates)
    shape = ("D", f"{G}*H")
    H = check.weights(owner, "Wx_l0", cells[0][0], shape, dtype, as_they_lie=False).shape[1] // G
    ready: list[Any] = []
    for k, arrays in enumerate(cells):
        D: Any = H if k else "D"
        ready.append(
            tuple(
                None
                if array is None and name == "bh"
                else check.weights(owner, f"{name}_l{k}", array, shape, dtype, as_they_lie=False)
                for (name, shape), array in zip(cell.shapes(D, H).items(), arrays, strict=True)
            )
        )
    weights = replace(weights, cells=ready, residual=bool(weights.residual))
    return weights, len(ready[0][0]), H, dtype


def check_attention(
    owner: str, weights: DecoderWeights, H: int, M: int, dtype: DType
) -> tuple[DecoderWeights, int]:
    """Check the score and the readout for a memory of width M; return the features' width, too."""
    if weights.context is None:
        if weights.readout is not None:
            raise ValueError(f"{owner}: readout must be None without a context, got one")
        return replace(weights, weights=(), num_heads=1), H
    score, sizes = check.option(owner, "score", weights.score, SCORES), {"Dq": H, "Dk": M, "Dv": M}
    ready = score_weights(owner, score, weights.weights, sizes, dtype)
    if score in ("dot", "scaled_dot") and H != M:
        wanted = f"as wide as the hidden state, {H}"
        raise ValueError(f"{owner}: memory must be {wanted}, for score {score!r}, got {M}")
    num_heads = check_heads(owner, score, weights.num_heads, sizes.get("A", 1))
    readout = _readout(owner, weights.readout, M + H, dtype)
    weights = replace(weights, weights=ready, num_heads=num_heads, readout=readout)
    return weights, M + H if readout is None else len(readout[1])


def check_input_width(owner: str, D: int, parts: dict[str, int]) -> None:
    """Raise unless the first cell's inputs, D wide, consist of these parts."""
    if sum(parts.values()) != D:
        wanted = " + ".join(map(str, parts.values())) + f" rows ({' and '.join(parts)})"
        raise ValueError(f"{owner}: Wx_l0 must have {wanted}, got {D}")


def _readout(owner: str, readout: Any, rows: int, dtype: DType) -> tuple[Array, Array] | None:
    """Return Wc and bc; None stays None."""
    if readout is None:
        return None
    if not isinstance(readout, Sequence) or len(readout) != 2:
        raise ValueError(f"{owner}: readout must be (Wc, bc) or None, got {shown(readout)}")
    Wc = check.array(owner, "Wc", readout[0], (rows, "R"), dtype, contiguous=True)
    return Wc, check.array(owner, "bc", readout[1], Wc.shape[1:], dtype, contiguous=True)


def shown(value: Any) -> str:
    """Write what came in the place of a sequence of arrays."""
    kind = type(value).__name__
    return f"a {kind} of {len(value)}" if isinstance(value, Sequence) else f"a {kind}"
