from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from numpy.typing import NDArray

from fastrnn._kernels.frozen import Frozen

_Array: TypeAlias = NDArray[Any]

class RNNRecurrence: ...

def rnn_forward(
    x: _Array,
    h0: _Array,
    Wx: _Array,
    Wh: _Array,
    b: _Array,
    *,
    nonlinearity: str,
    lengths: _Array | None,
    reverse: bool,
    train: bool,
    num_threads: int | None = None,
    out: _Array | None = None,
    drop_h: _Array | None = None,
    embedding: _Array | None = None,
) -> tuple[_Array, _Array, RNNRecurrence | None]: ...
def rnn_backward(
    dy: _Array, dh: _Array, stash: RNNRecurrence, *, num_threads: int | None = None
) -> tuple[_Array, _Array, _Array, _Array, _Array]: ...
def rnn_freeze(
    cells: Sequence[Sequence[_Array | None]],
    *,
    directions: int,
    residual: bool,
    owners: Iterable[_Array],
    nonlinearity: str,
    num_threads: int | None = None,
) -> Frozen: ...
def rnn_step(
    x: _Array, h: _Array, Wx: _Array, Wh: _Array, b: _Array, *, nonlinearity: str
) -> _Array: ...
