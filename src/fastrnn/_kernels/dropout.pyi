from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

_Array: TypeAlias = NDArray[Any]

def dropout(x: _Array, keep: NDArray[np.bool_], scale: float) -> _Array: ...
