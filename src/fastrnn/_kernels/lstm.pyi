from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from numpy.typing import NDArray

from fastrnn._kernels.frozen import Frozen

_Array: TypeAlias = NDArray[Any]

class LSTMRecurrence: ...

def lstm_forward(
    x: _Array,
    h0: _Array,
    c0: _Array,
    Wx: _Array,
    Wh: _Array,
    b: _Array,
    *,
    lengths: _Array | None,
    reverse: bool,
    train: bool,
    num_threads: int | None = None,
    out: _Array | None = None,
    textbook: bool = False,
    drop_h: _Array | None = None,
    embedding: _Array | None = None,
) -> tuple[_Array, _Array, _Array, LSTMRecurrence | None]: ...
def lstm_backward(
    dy: _Array, dh: _Array, dc: _Array, stash: LSTMRecurrence, *, num_threads: int | None = None
) -> tuple[_Array, _Array, _Array, _Array, _Array, _Array]: ...
def lstm_freeze(
    cells: Sequence[Sequence[_Array | None]],
    *,
    directions: int,
    residual: bool,
    owners: Iterable[_Array],
    num_threads: int | None = None,
) -> Frozen: ...
def lstm_step(
    x: _Array, h: _Array, c: _Array, Wx: _Array, Wh: _Array, b: _Array, *, textbook: bool = False
) -> tuple[_Array, _Array]: ...
