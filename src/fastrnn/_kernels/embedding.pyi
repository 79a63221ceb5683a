from typing import Any, TypeAlias

from numpy.typing import NDArray

_Array: TypeAlias = NDArray[Any]

def embedding_forward(ids: _Array, W: _Array) -> _Array: ...
def embedding_backward(dy: _Array, ids: _Array, num_embeddings: int) -> _Array: ...
