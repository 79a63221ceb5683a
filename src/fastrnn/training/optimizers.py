"""The optimizers: they hold the moments; `fastrnn.ops` computes the updates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastrnn import _check as check
from fastrnn import ops
from fastrnn.training.protocol import Arrays, Described

_STEP = "step"
_RANGES = {
    "momentum": "in [0, 1)",
    "rho": "in [0, 1)",
    "beta1": "in [0, 1)",
    "beta2": "in [0, 1)",
    "eps": "positive",
    "weight_decay": "at least 0",
}


class Optimizer(Described):
    """The base class of optimizers: moments by the names of the parameters, and the state.

    The learning rate `lr` may be set at any time. An optimizer is its update of one parameter, the
    names of its moments and its options, which the update takes after `lr`.
    """

    _rule: ClassVar[Callable[..., None]]
    _moments: ClassVar[tuple[str, ...]] = ()

    def __init__(self, lr: float, **options: float) -> None:
        self.lr = lr
        self._keep(**options)
        self.step = 0
        self._state: dict[str, NDArray[Any]] = {}

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self._lr

    @lr.setter
    def lr(self, lr: float) -> None:
        self._lr = check.number(type(self).__name__, "lr", lr, "at least 0")

    def update(self, params: Arrays, grads: Arrays) -> None:
        """Update the parameters in place by one step; all of them, or none after an error.

        Parameters
        ----------
        params, grads : mapping of str to ndarray
            Arrays of the same names and shapes, the same in each call.

        Raises
        ------
        ValueError
            If names or shapes differ from each other or from the loaded state, or if a parameter
            is read-only or not C-contiguous.
        TypeError
            If a dtype is not float32 or float64, or not that of the parameter.
        """
        moments = {key: self._moments_of(key, param) for key, param in params.items()}
        self._check(params, grads, moments)
        self._state = {
            f"{name}.{key}": moment
            for key, those in moments.items()
            for name, moment in zip(self._moments, those, strict=True)
        }
        self.step += 1
        options = {"lr": self.lr, **self.config()}
        for key, param in params.items():
            self._rule(param, grads[key], *moments[key], **options)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the step count and the moments, ``"mean.<parameter>"``, not copied."""
        return {_STEP: np.array(self.step, dtype=np.int64), **self._state}

    def load_state(self, state: Arrays) -> None:
        """Restore a copy of a state returned by `state`.

        Raises
        ------
        ValueError
            If it is the state of another kind of optimizer, lacks moments or has a negative step.
        TypeError
            If the step is not an integer.
        """
        names = {key.partition(".")[0] for key in state}
        known = {_STEP, *self._moments}
        before_the_first = names == {_STEP} and state[_STEP] == 0
        if names != known and not before_the_first:
            raise ValueError(
                f"{type(self).__name__}: the state has {', '.join(sorted(names)) or 'nothing'}, "
                f"want {', '.join(sorted(known))}"
            )
        self.step = check.size(type(self).__name__, "the step of the state", state[_STEP], least=0)
        self._state = {key: array.copy() for key, array in state.items() if key != _STEP}

    def _moments_of(self, key: str, param: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the moments of a parameter, zeros before its first update."""
        held = [self._state.get(f"{name}.{key}") for name in self._moments]
        return [np.zeros_like(param, order="C") if m is None else m for m in held]

    def _check(self, params: Arrays, grads: Arrays, moments: dict[str, list[NDArray[Any]]]) -> None:
        name = type(self).__name__
        if params.keys() != grads.keys():
            differ = ", ".join(sorted(params.keys() ^ grads.keys()))
            raise ValueError(f"{name}: params and grads must have the same names; differ: {differ}")
        for key, param in params.items():
            dtype = check.float_dtype(name, f"parameter {key!r}", param)
            check.in_place(name, f"parameter {key!r}", param, np.shape(param), dtype)
            check.array(name, f"gradient of {key!r}", grads[key], param.shape, dtype)
            for moment in moments[key]:
                check.in_place(name, f"state of {key!r}", moment, param.shape, dtype)

    def _keep(self, **options: float) -> None:
        """Check options and make them attributes."""
        for name, value in options.items():
            setattr(self, name, check.number(type(self).__name__, name, value, _RANGES[name]))
        self._options += tuple(options)


class SGD(Optimizer):
    """Stochastic gradient descent: ``p -= lr * g``."""

    _rule = staticmethod(ops.sgd_update)

    def __init__(self, lr: float = 0.01) -> None:
        super().__init__(lr)


class Momentum(Optimizer):
    """Gradient descent with momentum: ``v = momentum * v - lr * g; p += v`` (Polyak 1964)."""

    _rule = staticmethod(ops.momentum_update)
    _moments = ("velocity",)

    def __init__(self, lr: float = 0.01, *, momentum: float = 0.9) -> None:
        super().__init__(lr, momentum=momentum)


class AdaGrad(Optimizer):
    """AdaGrad: ``s += g**2; p -= lr * g / (sqrt(s) + eps)`` (Duchi, Hazan and Singer 2011)."""

    _rule = staticmethod(ops.adagrad_update)
    _moments = ("square",)

    def __init__(self, lr: float = 0.01, *, eps: float = 1e-10) -> None:
        super().__init__(lr, eps=eps)


class RMSprop(Optimizer):
    """RMSprop: ``s = rho*s + (1 - rho)*g**2; p -= lr * g / (sqrt(s) + eps)`` (Hinton 2012)."""

    _rule = staticmethod(ops.rmsprop_update)
    _moments = ("square",)

    def __init__(self, lr: float = 0.01, *, rho: float = 0.99, eps: float = 1e-8) -> None:
        super().__init__(lr, rho=rho, eps=eps)


class Adam(Optimizer):
    """Adam with bias correction (Kingma and Ba 2015, algorithm 1)."""

    _moments = ("mean", "square")

    def __init__(
        self, lr: float = 1e-3, *, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
    ) -> None:
        super().__init__(lr, beta1=beta1, beta2=beta2, eps=eps)

    def _rule(self, *arrays: NDArray[Any], **options: Any) -> None:
        ops.adam_update(*arrays, step=self.step, **options)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2).

    All parameters, also biases, decay by ``lr * weight_decay * p`` per step.
    """

    def __init__(
        self,
        lr: float = 1e-3,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(lr, beta1=beta1, beta2=beta2, eps=eps)
        self._keep(weight_decay=weight_decay)
