"""Dropout (Srivastava et al. 2014), in its inverted form: what is kept is scaled up."""

from __future__ import annotations

from .types import Array


def dropout(x: Array, keep: Array, scale: float) -> Array:
    """Return ``x * keep * scale``; ``keep`` is boolean and ``scale`` is ``1 / (1 - p)``.

    Inverted dropout (Srivastava et al. 2014). As the map is diagonal, the same call carries ``dy``
    to ``dx``.
    """
    return x * keep * scale
