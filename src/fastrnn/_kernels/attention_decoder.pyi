from collections.abc import Sequence
from typing import Any, TypeAlias

from numpy.typing import NDArray

_Array: TypeAlias = NDArray[Any]

_Weights: TypeAlias = tuple[_Array | None, ...]

def attention_decoder_forward(
    x: _Array,
    fed: _Array | None,
    states: Sequence[_Array],
    memory: _Array,
    cells: Sequence[_Weights],
    weights: tuple[_Array, ...],
    readout: tuple[_Array, _Array] | None,
    *,
    cell: str,
    score: str,
    heads: int,
    context: str,
    lengths: _Array | None,
    residual: bool,
    drops: _Array | None,
    drop_h: _Array | None,
    train: bool,
    steps: _Array | None = None,
    embedding: _Array | None = None,
    num_threads: int | None = None,
) -> tuple[_Array, _Array, _Array | None, list[_Array], Decoder | None]: ...
def attention_decoder_backward(
    dfeatures: _Array,
    dalignment: _Array | None,
    dfed_last: _Array | None,
    dstates: Sequence[_Array],
    stash: Decoder,
    *,
    num_threads: int | None = None,
) -> tuple[
    _Array,
    _Array | None,
    list[_Array],
    _Array,
    list[_Weights],
    tuple[_Array, ...],
    tuple[_Array, ...],
]: ...

class Decoder: ...
