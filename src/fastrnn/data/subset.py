"""Some rows of a sequence, without a copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, overload

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class Subset(Sequence[T]):
    """The items of some rows, read on access.

    Parameters
    ----------
    items : sequence
    rows : int64 array (M,)
        Row numbers in the order of the items.
    """

    def __init__(self, items: Sequence[T], rows: NDArray[np.int64]) -> None:
        self._items = items
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> Subset[T]: ...

    def __getitem__(self, index: int | slice) -> T | Subset[T]:
        if isinstance(index, slice):
            return Subset(self._items, self._rows[index])
        return self._items[int(self._rows[index])]
