"""The names under which the reference annotates its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Weights: TypeAlias = Sequence["Array | None"]
"""The arrays of one cell in its order, or their gradients; None is a bias that it does not have."""
Stash: TypeAlias = tuple[Any, ...]
"""What a forward keeps for its backward; only the file that packs one unpacks it."""
