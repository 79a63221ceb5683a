from typing import Any, TypeAlias

from numpy.typing import NDArray

_Array: TypeAlias = NDArray[Any]

def softmax_cross_entropy(
    logits: _Array,
    targets: _Array,
    *,
    ignore_index: int | None,
    train: bool,
    label_smoothing: float = 0.0,
    num_threads: int | None = None,
) -> tuple[float, _Array | None]: ...
