"""The parameters of a frozen layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from fastrnn._check import Array


class FrozenParams(dict[str, Array]):
    """A dictionary that keeps its items: what was packed of them would not follow a change.

    A copy or a pickle of it is a plain dictionary.
    """

    def __init__(self, layer: str, params: Mapping[str, Array]) -> None:
        super().__init__(params)
        self._layer = layer

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ValueError(f"{self._layer}: params are frozen, call unfreeze() before changing them")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)
