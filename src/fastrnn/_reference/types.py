"""The names under which the reference annotates its arguments."""

from __future__ import annotations

from typing import Any, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Stash: TypeAlias = tuple[Any, ...]
"""What a forward keeps for its backward; only the file that packs one unpacks it."""
