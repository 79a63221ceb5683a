"""The words of the language: what a cell's function may do with values beside arithmetic."""

from __future__ import annotations

from typing import Any

from fastrnn.cell.trace import Symbol, Trace, tracing


def sigmoid(v: Any) -> Symbol:
    """Return ``1 / (1 + exp(-v))``."""
    return tracing("sigmoid").apply("sigmoid", v)


def tanh(v: Any) -> Symbol:
    """Return the hyperbolic tangent."""
    return tracing("tanh").apply("tanh", v)


def relu(v: Any) -> Symbol:
    """Return ``max(v, 0)``, whose derivative at 0 is 0."""
    return tracing("relu").apply("relu", v)


def hard_sigmoid(v: Any, alpha: float = 0.2, beta: float = 0.5) -> Symbol:
    """Return ``clip(alpha * v + beta, 0, 1)``; the defaults are those of ONNX and Keras 2."""
    return clip(tracing("hard_sigmoid").apply("mul", v, alpha) + beta, 0.0, 1.0)


def leaky_relu(v: Any, alpha: float = 0.01) -> Symbol:
    """Return v where it is above 0, else ``alpha * v``."""
    trace = tracing("leaky_relu")
    return where(trace.apply("gt", v, 0.0), v, trace.apply("mul", v, alpha))


def elu(v: Any, alpha: float = 1.0) -> Symbol:
    """Return v where it is above 0, else ``alpha * (exp(v) - 1)``."""
    return relu(v) + alpha * tracing("elu").apply("expm1", minimum(v, 0.0))


def softsign(v: Any) -> Symbol:
    """Return ``v / (1 + abs(v))``."""
    return tracing("softsign").apply("div", v, 1.0 + abs(v))


def softplus(v: Any) -> Symbol:
    """Return ``log(1 + exp(v))``, without overflow."""
    trace = tracing("softplus")
    return relu(v) + trace.apply("log1p", exp(minimum(v, trace.apply("neg", v))))


def exp(v: Any) -> Symbol:
    """Return the exponential."""
    return tracing("exp").apply("exp", v)


def log(v: Any) -> Symbol:
    """Return the natural logarithm."""
    return tracing("log").apply("log", v)


def sqrt(v: Any) -> Symbol:
    """Return the square root."""
    return tracing("sqrt").apply("sqrt", v)


def abs(v: Any) -> Symbol:
    """Return the magnitude, whose derivative at 0 is 0."""
    return tracing("abs").apply("abs", v)


def maximum(u: Any, v: Any) -> Symbol:
    """Return the larger; where both are equal, the gradient goes to u."""
    return tracing("maximum").apply("max", u, v)


def minimum(u: Any, v: Any) -> Symbol:
    """Return the smaller; where both are equal, the gradient goes to u."""
    return tracing("minimum").apply("min", u, v)


def clip(v: Any, low: Any, high: Any) -> Symbol:
    """Return ``minimum(maximum(v, low), high)``."""
    return minimum(maximum(v, low), high)


def where(condition: Any, u: Any, v: Any) -> Symbol:
    """Return u where the condition is not 0, else v; ``where(s.c > 0, u, v)``."""
    return tracing("where").apply("where", condition, u, v)


def matmul(v: Any, name: str) -> Symbol:
    """Return the product ``v U`` with weights of that name, (H, H); each has one use."""
    return _product(tracing("matmul"), v, name)


def project(v: Any, name: str) -> Symbol:
    """Return the product of v with weights of that name, (H, P): h then has P units.

    It makes h: what it returns, and the state h before the step, are P wide, all else is H wide.
    """
    trace = tracing("project")
    if trace.projection not in (None, name):
        raise ValueError(f"{trace.name}: project has one use, that of {trace.projection!r}")
    trace.projection = name
    return _product(trace, v, name)


def _product(trace: Trace, v: Any, name: str) -> Symbol:
    """Record a product with weights of a name."""
    if not isinstance(name, str):
        came = type(name).__name__
        raise TypeError(f"{trace.name}: the name of weights must be a string, got {came}")
    return trace.apply("matmul", v, name=name)


def mean(v: Any) -> Symbol:
    """Return the mean over the hidden units, at every unit."""
    return tracing("mean").apply("mean", v)


def layer_norm(v: Any, gain: Any = 1.0, bias: Any = 0.0, eps: float = 1e-5) -> Symbol:
    """Return ``(v - mean(v)) / sqrt(var(v) + eps) * gain + bias`` over the hidden units."""
    trace = tracing("layer_norm")
    eps = trace.number("eps", eps)
    if eps <= 0:
        raise ValueError(f"{trace.name}: eps must be above 0, got {eps:g}")
    normed = trace.apply("sub", v, mean(v)) * trace.apply("rstd", v, number=eps)
    return trace.apply("add", trace.apply("mul", normed, gain), bias)


def keep(v: Any, p: float) -> Symbol:
    """Return v where a mask is 1, with probability p, else 0; in evaluation ``v * p``.

    The mask is drawn for each sequence, step and unit. Zoneout (Krueger et al. 2017) of a state is
    ``s.c + keep(new - s.c, 1 - rate)``.
    """
    trace = tracing("keep")
    p = trace.number("p", p)
    if not 0 <= p <= 1:
        raise ValueError(f"{trace.name}: p must be in [0, 1], got {p:g}")
    trace.keeps += 1
    return trace.apply("keep", v, name=str(trace.keeps - 1), number=p)
