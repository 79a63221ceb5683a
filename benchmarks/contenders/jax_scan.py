"""JAX: `lax.scan` over the steps, compiled by XLA, for inference and training."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp
from jax.extend.backend import clear_backends
from jax.nn import sigmoid, softplus

from cases import Array, Recurrent
from contenders.base import Contender, Task

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_default_matmul_precision", "float32")

States = tuple[jax.Array, ...]


def _lstm(states: States, inputs: jax.Array, Wh: jax.Array) -> States:
    h, c = states
    i, f, g, o = jnp.split(inputs + h @ Wh, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
    return sigmoid(o) * jnp.tanh(c), c


def _gru(states: States, inputs: jax.Array, Wh: jax.Array, bh: jax.Array) -> States:
    (h,) = states
    (xr, xz, xn), (hr, hz, hn) = jnp.split(inputs, 3, axis=1), jnp.split(h @ Wh, 3, axis=1)
    z, n = sigmoid(xz + hz), jnp.tanh(xn + sigmoid(xr + hr) * (hn + bh))
    return ((1 - z) * n + z * h,)


def _gru_before(states: States, inputs: jax.Array, Wh: jax.Array) -> States:
    (h,) = states
    gates = 2 * h.shape[1]
    r, z = jnp.split(sigmoid(inputs[:, :gates] + h @ Wh[:, :gates]), 2, axis=1)
    n = jnp.tanh(inputs[:, gates:] + (r * h) @ Wh[:, gates:])
    return ((1 - z) * n + z * h,)


def _rnn(states: States, inputs: jax.Array, Wh: jax.Array) -> States:
    return (jnp.tanh(inputs + states[0] @ Wh),)


def _peephole(states: States, inputs: jax.Array, Wh: jax.Array, *p: jax.Array) -> States:
    (h, c), (p_i, p_f, p_o) = states, p
    i, f, g, o = jnp.split(inputs + h @ Wh, 4, axis=1)
    c = sigmoid(f + p_f * c) * c + sigmoid(i + p_i * c) * jnp.tanh(g)
    return sigmoid(o + p_o * c) * jnp.tanh(c), c


def _layer_norm(states: States, inputs: jax.Array, Wh: jax.Array, *affine: jax.Array) -> States:
    def norm(v: jax.Array, number: int) -> jax.Array:
        off = v - v.mean(1, keepdims=True)
        scale = lax.rsqrt((off * off).mean(1, keepdims=True) + 1e-5)
        return off * scale * affine[number] + affine[number + 5]

    h, c = states
    i, f, g, o = (norm(v, k) for k, v in enumerate(jnp.split(inputs + h @ Wh, 4, axis=1)))
    c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
    return sigmoid(o) * jnp.tanh(norm(c, 4)), c


def _slstm(states: States, inputs: jax.Array, Wh: jax.Array) -> States:
    h, c, n, m = states
    z, i, f, o = jnp.split(inputs + h @ Wh, 4, axis=1)
    log_f = -softplus(-f)
    new_m = jnp.maximum(log_f + m, i)
    f, i = jnp.exp(log_f + m - new_m), jnp.exp(i - new_m)
    c, n = f * c + i * jnp.tanh(z), f * n + i
    return sigmoid(o) * c / jnp.maximum(n, 1e-30), c, n, new_m


_STEPS: dict[str, Callable[..., States]] = {
    "lstm": _lstm,
    "gru": _gru,
    "gru_before": _gru_before,
    "rnn": _rnn,
    "peephole_lstm": _peephole,
    "layer_norm_lstm": _layer_norm,
    "slstm": _slstm,
}


class Jax(Contender):
    name = "JAX"
    cells = tuple(_STEPS)
    _processors: ClassVar[int] = 0  # of the client that XLA has now

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        if Jax._processors != threads:
            _start_client(threads)
            Jax._processors = threads

    @classmethod
    def version(cls) -> str:
        return jax.__version__

    @classmethod
    def answers(cls, question: str, case: Any) -> bool:
        return hasattr(os, "sched_setaffinity") and super().answers(question, case)

    def inference(self, case: Recurrent) -> Task:
        inputs, _ = _arrays(case)
        layer = jax.jit(partial(_layer, _STEPS[case.cell]))

        def read(result: Any) -> list[Array]:
            y, states = result
            return [*map(np.asarray, (y.swapaxes(0, 1), *states))]

        return Task(lambda: jax.block_until_ready(layer(*inputs)), read)

    def training(self, case: Recurrent) -> Task:
        inputs, upstream = _arrays(case)

        @jax.jit
        def gradients(inputs: Any, upstream: Any) -> Any:
            _, pull = jax.vjp(partial(_layer, _STEPS[case.cell]), *inputs)
            return pull(upstream)

        def read(result: Any) -> list[Array]:
            dx, dstates, *dweights = result
            return [*map(np.asarray, (dx.swapaxes(0, 1), *dstates, *dweights))]

        return Task(lambda: jax.block_until_ready(gradients(inputs, upstream)), read)


def _start_client(threads: int) -> None:
    """Start XLA's client anew with one thread for each of so many processors.

    The client has as many threads as it has processors when it starts. Its threads keep to these
    processors, so that the thread that calls and the pool never exceed them together.
    """
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[-threads:])
    try:
        clear_backends()
        jax.devices()
    finally:
        os.sched_setaffinity(0, allowed)


def _layer(
    step: Callable[..., States],
    x: jax.Array,
    states: States,
    Wx: jax.Array,
    Wh: jax.Array,
    b: jax.Array,
    *others: jax.Array,
) -> tuple[jax.Array, States]:
    """y and the last states; x and y are time-major, and the inputs' product precedes the loop."""

    def advance(states: States, inputs: jax.Array) -> tuple[States, jax.Array]:
        states = step(states, inputs, Wh, *others)
        return states, states[0]

    states, y = lax.scan(advance, states, x @ Wx + b)
    return y, states


def _arrays(case: Recurrent) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The arguments of `_layer`, and the gradients of its results."""
    arrays = {name: jnp.asarray(array) for name, array in case.arrays().items()}
    names = ("Wx", "Wh", "b", "bh", *case.vectors)
    weights = [arrays[name] for name in names if name in arrays]
    states, dstates = (tuple(arrays[s.format(n)] for n in case.states) for s in ("{}0", "d{}"))
    x, dy = arrays["x"].swapaxes(0, 1), arrays["dy"].swapaxes(0, 1)
    return (x, states, *weights), (dy, dstates)


CONTENDER = Jax
