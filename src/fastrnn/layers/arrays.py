"""The dictionaries of a layer's arrays, whose names cannot change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastrnn._check import Array


class FixedArrays(dict[str, Array]):
    """A dictionary that keeps its items, and says why; a copy or a pickle is a plain one."""

    def __init__(self, why: str, arrays: Mapping[str, Array]) -> None:
        super().__init__(arrays)
        self._why = why

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise ValueError(self._why)

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __copy__(self) -> dict[str, Array]:
        return dict(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


class NamedArrays(FixedArrays):
    """Arrays in whose places others may be put, under the same names, unless they are frozen."""

    def __init__(self, owner: str, arrays: Mapping[str, Array]) -> None:
        super().__init__("", arrays)
        self._owner = owner
        self.freeze(False)

    def freeze(self, frozen: bool) -> None:
        """Refuse other arrays, too, or allow them again."""
        names = "the names of its arrays cannot change"
        why = "params are frozen, call unfreeze() before changing them" if frozen else names
        self._frozen, self._why = frozen, f"{self._owner}: {why}"

    def require_thawed(self) -> None:
        """Raise if the arrays are frozen."""
        if self._frozen:
            self._refuse()

    def add(self, name: str, array: Array) -> None:
        """Add a name, or put an array in the place of another, frozen or not."""
        super(FixedArrays, self).__setitem__(name, array)

    def __setitem__(self, name: str, array: Any) -> None:
        self.update({name: array})

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Put arrays in the places of others; all of them or none."""
        self.require_thawed()
        new = dict(*args, **kwargs)
        for name in new:
            if name not in self:
                what = f"no array is named {name!r}; names cannot be added"
                raise ValueError(f"{self._owner}: {what}")
        for name, array in self._checked(new).items():
            self.add(name, array)

    def _checked(self, new: dict[str, Any]) -> dict[str, Array]:
        """Return the arrays that are put; those of a layer are checked where they are used."""
        return new

    def __ior__(self, other: Any) -> Any:  # type: ignore[misc]
        self.update(other)
        return self
