"""The norm of all gradients and clipping by it."""

from __future__ import annotations

import math

from fastrnn import _check as check
from fastrnn import ops
from fastrnn.training.protocol import Arrays


def grad_norm(grads: Arrays) -> float:
    """Return the Euclidean norm of all gradients as one vector, computed in float64."""
    return math.sqrt(sum(ops.squared_norm(grad) for grad in grads.values()))


def clip_grad_norm(grads: Arrays, max_norm: float) -> float:
    """Scale all gradients in place so that their norm is at most `max_norm`.

    Pascanu, Mikolov and Bengio 2013, algorithm 1: ``g *= max_norm / |g|`` where ``|g| > max_norm``.
    Gradients with a norm that is not finite do not change.

    Returns
    -------
    float
        The norm before clipping.

    Raises
    ------
    ValueError
        If `max_norm` is not positive.
    """
    max_norm = check.number("clip_grad_norm", "max_norm", max_norm, "positive")
    norm = grad_norm(grads)
    if max_norm < norm < math.inf:
        for grad in grads.values():
            ops.scale_in_place(grad, max_norm / norm)
    return norm
