from typing import Any, TypeAlias

from numpy.typing import NDArray

_Array: TypeAlias = NDArray[Any]

def linear_forward(
    x: _Array, W: _Array, b: _Array | None, *, num_threads: int | None = None
) -> _Array: ...
def linear_backward(
    dy: _Array, x: _Array, W: _Array, *, bias: bool, num_threads: int | None = None
) -> tuple[_Array, _Array, _Array | None]: ...
