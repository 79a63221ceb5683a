"""The layers on the NumPy backend: import them from here to change the backend."""

from __future__ import annotations

from typing import TypeVar, cast

from fastrnn import layers

_Layer = TypeVar("_Layer", bound=layers.Layer)


def _bound(layer: type[_Layer]) -> type[_Layer]:
    """Return a layer class of the same name on the reference backend."""
    namespace = {"_backend": "reference", "__module__": __name__, "__doc__": layer.__doc__}
    return cast(type[_Layer], type(layer.__name__, (layer,), namespace))


RNN = _bound(layers.RNN)
LSTM = _bound(layers.LSTM)
GRU = _bound(layers.GRU)
Embedding = _bound(layers.Embedding)
Linear = _bound(layers.Linear)
Dropout = _bound(layers.Dropout)
SoftmaxCrossEntropy = _bound(layers.SoftmaxCrossEntropy)
Attention = _bound(layers.Attention)
Tanh = _bound(layers.Tanh)

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Attention",
    "Dropout",
    "Embedding",
    "Linear",
    "SoftmaxCrossEntropy",
    "Tanh",
]
