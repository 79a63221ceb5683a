"""What the tests of loading share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fastrnn.layers import Layer


@contextmanager
def unchanged(*layers: Layer) -> Iterator[None]:
    """Assert that the body leaves all parameters bitwise as they were, and the same arrays."""
    before = [
        (layer, key, param, param.tobytes())
        for layer in layers
        for key, param in layer.params.items()
    ]
    yield
    for layer, key, param, data in before:
        assert layer.params[key] is param
        assert np.ascontiguousarray(param).tobytes() == data, key
