from typing import Any, TypeAlias

from numpy.typing import NDArray

_Array: TypeAlias = NDArray[Any]

class Frozen:
    def step(self, x: Any, state: Any, out: Any) -> tuple[_Array, Any] | None: ...
    def forward(
        self, x: Any, state: Any, lengths: _Array | None, num_threads: int | None
    ) -> tuple[_Array, Any] | None: ...
