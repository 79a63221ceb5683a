from typing import Any, TypeAlias

from numpy.typing import NDArray

_Array: TypeAlias = NDArray[Any]

_Stash: TypeAlias = tuple[Any, ...]

def attention_forward(
    query: _Array,
    keys: _Array,
    values: _Array,
    weights: tuple[_Array, ...],
    *,
    score: str,
    lengths: _Array | None,
    train: bool,
    heads: int = 1,
    num_threads: int | None = None,
) -> tuple[_Array, _Array, _Stash | None]: ...
def attention_backward(
    dcontext: _Array,
    dalignment: _Array | None,
    stash: _Stash,
    *,
    shared: bool = False,
    num_threads: int | None = None,
) -> tuple[_Array, _Array, _Array | None, tuple[_Array, ...]]: ...
