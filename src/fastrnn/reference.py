"""The layers on the NumPy backend: import them from here to change the backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastrnn import layers

if TYPE_CHECKING:
    from fastrnn.layers import *  # noqa: F403


def _bound(layer: type[layers.Layer]) -> type[layers.Layer]:
    """Return the same layer, of the same name, on the reference backend."""
    namespace = {"_backend": "reference", "__module__": __name__, "__doc__": layer.__doc__}
    return type(layer.__name__, (layer,), namespace)


__all__ = [name for name in layers.__all__ if name not in ("Layer", "RECURRENT")]
globals().update({name: _bound(getattr(layers, name)) for name in __all__})
