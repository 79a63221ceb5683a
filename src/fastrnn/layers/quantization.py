"""What weights of few bits cost in accuracy."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np

from fastrnn._check import Array
from fastrnn.layers.recurrent import RecurrentLayer


class QuantizationError(NamedTuple):
    """Absolute differences of a frozen layer's results from those of its own weights.

    Attributes
    ----------
    y_largest, y_mean : float
        Of the outputs.
    state_largest, state_mean : float
        Of the final states.
    """

    y_largest: float
    y_mean: float
    state_largest: float
    state_mean: float


def quantization_error(
    layer: RecurrentLayer, x: Any, weights: str = "int8", state: Any = None, *, lengths: Any = None
) -> QuantizationError:
    """Compare ``layer.freeze(weights)`` with the layer's own weights, in evaluation mode.

    The layer stays as it is. Its weights are copied.

    Parameters
    ----------
    layer : RNN, LSTM or GRU
        In float32.
    x, state, lengths
        As for the layer's `forward`: inputs like those that it will meet.
    weights : {"int8", "bfloat16"}
        As for `freeze`.

    Returns
    -------
    QuantizationError
        The largest and the mean difference of y, and of the state after the last step.

    Raises
    ------
    ValueError, TypeError
        As `freeze` and `forward`; TypeError if `layer` is not a recurrent layer.

    Examples
    --------
    >>> import numpy as np, fastrnn as fr
    >>> x = np.random.default_rng(0).standard_normal((8, 100, 32), np.float32)
    >>> error = fr.quantization_error(fr.LSTM(32, 64, rng=0), x)
    >>> error.y_largest < 0.02
    True
    """
    if not isinstance(layer, RecurrentLayer):
        came = type(layer).__name__
        raise TypeError(f"quantization_error: layer must be a recurrent layer, got {came}")
    own = copy.deepcopy(layer).eval()
    wanted = _flat(own(x, state, lengths=lengths))
    came_out = _flat(own.freeze(weights)(x, state, lengths=lengths))
    differences = [np.abs(a - b) for a, b in zip(came_out, wanted, strict=True)]
    y, states = differences[0], np.concatenate([part.ravel() for part in differences[1:]])
    return QuantizationError(*_largest_and_mean(y), *_largest_and_mean(states))


def _flat(result: tuple[Array, Any]) -> list[Array]:
    y, state = result
    return [y, *(state if isinstance(state, tuple) else (state,))]


def _largest_and_mean(difference: Array) -> tuple[float, float]:
    if difference.size == 0:
        return 0.0, 0.0
    return float(difference.max()), float(difference.mean(dtype=np.float64))
