"""Optimizers and clipping."""

from __future__ import annotations

from functools import partial
from typing import Any

from digests.record import Cases, Draw, copies
from fastrnn import training

OPTIMIZERS: dict[str, dict[str, float]] = {
    "SGD": {},
    "Momentum": {"momentum": 0.8},
    "AdaGrad": {},
    "RMSprop": {"rho": 0.95},
    "Adam": {"beta1": 0.85},
    "AdamW": {"weight_decay": 0.05},
}
SHAPES = [(1,), (7, 19), (33,), (500, 431)]


def cases() -> Cases:
    for name, options in OPTIMIZERS.items():
        yield name, partial(_updated, name=name, options=options)
    yield "clip_grad_norm", _clipped


def _arrays(draw: Draw) -> dict[str, Any]:
    return {f"p{index}": draw.normal(*shape) for index, shape in enumerate(SHAPES)}


def _updated(draw: Draw, name: str, options: dict[str, float]) -> Any:
    optimizer = getattr(training, name)(0.02, **options)
    params = _arrays(draw)
    for _ in range(3):
        optimizer.update(params, _arrays(draw))
    other = getattr(training, name)(0.03, **options)
    other.load_state(optimizer.state())
    state = copies(optimizer.state())
    other.update(params, _arrays(draw))
    return params, state, other.state()


def _clipped(draw: Draw) -> Any:
    grads = _arrays(draw)
    norms = [training.grad_norm(grads), training.clip_grad_norm(grads, 3.5)]
    return norms, grads, training.clip_grad_norm(grads, 1e9)
