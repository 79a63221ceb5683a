"""The arrays of a model's layers as one dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastrnn import _check as check
from fastrnn._check import Array
from fastrnn.layers.arrays import NamedArrays


class LayerArrays(NamedArrays):
    """Arrays by dotted name; one that is put in the place of another is put into its layer."""

    def __init__(self, owner: str, places: Mapping[str, tuple[NamedArrays, str]]) -> None:
        super().__init__(owner, {name: arrays[key] for name, (arrays, key) in places.items()})
        self._places = places

    def add(self, name: str, array: Array) -> None:
        """Put an array in the place of another, in the layer, too."""
        super().add(name, array)
        arrays, key = self._places[name]
        arrays[key] = array

    def _checked(self, new: dict[str, Any]) -> dict[str, Array]:
        """Return the arrays, of the shapes and dtypes of those in whose places they are put."""
        for name in new:
            self._places[name][0].require_thawed()
        return {
            name: check.array(
                self._owner, name, array, self[name].shape, self[name].dtype, contiguous=True
            )
            for name, array in new.items()
        }
