"""The arrays of a model's layers as one dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from fastrnn import _check as check
from fastrnn._check import Array


class LayerArrays(dict[str, Array]):
    """Arrays by dotted name; one that is put in the place of another is put into its layer.

    A copy or a pickle of it is a plain dictionary.
    """

    def __init__(self, owner: str, places: Mapping[str, tuple[dict[str, Array], str]]) -> None:
        super().__init__({name: arrays[key] for name, (arrays, key) in places.items()})
        self._owner, self._places = owner, places

    def __setitem__(self, name: str, array: Any) -> None:
        self.update({name: array})

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Put arrays in the places of others of their shapes and dtypes; all of them or none."""
        new = {name: self._checked(name, array) for name, array in dict(*args, **kwargs).items()}
        for name, array in new.items():
            arrays, key = self._places[name]
            arrays[key] = array
            super().__setitem__(name, array)

    def __ior__(self, other: Any) -> Any:  # type: ignore[misc]
        self.update(other)
        return self

    def _checked(self, name: str, array: Any) -> Array:
        if name not in self:
            raise ValueError(f"{self._owner}: no array is named {name!r}; names cannot be added")
        old = self[name]
        return check.array(self._owner, name, array, old.shape, old.dtype, contiguous=True)

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ValueError(f"{self._owner}: the names of its arrays cannot change")

    __delitem__ = clear = pop = popitem = setdefault = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)
