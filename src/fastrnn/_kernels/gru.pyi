from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from numpy.typing import NDArray

from fastrnn._kernels.frozen import Frozen

_Array: TypeAlias = NDArray[Any]

class GRUWeights: ...
class GRURecurrence: ...

def gru_forward(
    x: _Array,
    h0: _Array,
    Wx: _Array,
    Wh: _Array,
    b: _Array,
    bh: _Array | None,
    *,
    lengths: _Array | None,
    reverse: bool,
    train: bool,
    num_threads: int | None = None,
    out: _Array | None = None,
    textbook: bool = False,
    drop_h: _Array | None = None,
    embedding: _Array | None = None,
) -> tuple[_Array, _Array, GRURecurrence | None]: ...
def gru_backward(
    dy: _Array, dh: _Array, stash: GRURecurrence, *, num_threads: int | None = None
) -> tuple[_Array, _Array, _Array, _Array, _Array, _Array | None]: ...
def gru_freeze(
    cells: Sequence[Sequence[_Array | None]],
    *,
    directions: int,
    residual: bool,
    owners: Iterable[_Array],
    num_threads: int | None = None,
) -> Frozen: ...
def gru_step(
    x: _Array,
    h: _Array,
    Wx: _Array,
    Wh: _Array,
    b: _Array,
    bh: _Array | None,
    *,
    textbook: bool = False,
) -> _Array: ...
