"""The optimizers: they hold the moments; `fastrnn.ops` computes the updates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastrnn import _check as check
from fastrnn import ops
from fastrnn.training.protocol import Arrays

_STEP = "step"
_RANGES: dict[str, Callable[[float], bool]] = {
    "at least 0": lambda value: value >= 0,
    "positive": lambda value: value > 0,
    "in [0, 1)": lambda value: 0 <= value < 1,
}


class Optimizer(ABC):
    """The base class of optimizers: moments by the names of the parameters, and the state.

    The learning rate `lr` may be set at any time.
    """

    _moments: ClassVar[tuple[str, ...]] = ()
    _options: ClassVar[tuple[str, ...]] = ()

    def __init__(self, lr: float) -> None:
        self.lr = lr
        self.step = 0
        self._state: dict[str, NDArray[Any]] = {}

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self._lr

    @lr.setter
    def lr(self, lr: float) -> None:
        self._lr = self._number("lr", lr, "at least 0")

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
        for key, param in params.items():
            self._update(param, grads[key], *moments[key])

    def config(self) -> dict[str, float]:
        """Return the constructor's arguments without `lr`, which may change during a run."""
        return {name: getattr(self, name) for name in self._options}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the step count and the moments, ``"mean.<parameter>"``, not copied."""
        return {_STEP: np.array(self.step, dtype=np.int64), **self._state}

    def load_state(self, state: Arrays) -> None:
        """Restore a copy of a state returned by `state`.

        Raises
        ------
        ValueError
            If it is the state of another kind of optimizer or lacks moments.
        """
        names = {key.partition(".")[0] for key in state}
        known = {_STEP, *self._moments}
        before_the_first = names == {_STEP} and state[_STEP] == 0
        if names != known and not before_the_first:
            raise ValueError(
                f"{type(self).__name__}: the state has {', '.join(sorted(names)) or 'nothing'}, "
                f"want {', '.join(sorted(known))}"
            )
        self.step = int(state[_STEP])
        self._state = {key: array.copy() for key, array in state.items() if key != _STEP}

    @abstractmethod
    def _update(self, param: NDArray[Any], grad: NDArray[Any], *moments: NDArray[Any]) -> None:
        """Update one parameter and its moments."""

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

    def _number(self, name: str, value: float, wanted: str) -> float:
        """Return a real number as a float; raise if it is out of its range."""
        number = check.number(type(self).__name__, name, value)
        if not _RANGES[wanted](number):
            raise ValueError(f"{type(self).__name__}: {name} must be {wanted}, got {value}")
        return number


class SGD(Optimizer):
    """Stochastic gradient descent: ``p -= lr * g``."""

    def __init__(self, lr: float = 0.01) -> None:
        super().__init__(lr)

    def _update(self, param: NDArray[Any], grad: NDArray[Any], *moments: NDArray[Any]) -> None:
        ops.sgd_update(param, grad, lr=self.lr)


class Momentum(Optimizer):
    """Gradient descent with momentum: ``v = momentum * v - lr * g; p += v`` (Polyak 1964)."""

    _moments = ("velocity",)
    _options = ("momentum",)

    def __init__(self, lr: float = 0.01, *, momentum: float = 0.9) -> None:
        super().__init__(lr)
        self.momentum = self._number("momentum", momentum, "in [0, 1)")

    def _update(self, param: NDArray[Any], grad: NDArray[Any], *moments: NDArray[Any]) -> None:
        ops.momentum_update(param, grad, *moments, lr=self.lr, momentum=self.momentum)


class AdaGrad(Optimizer):
    """AdaGrad: ``s += g**2; p -= lr * g / (sqrt(s) + eps)`` (Duchi, Hazan and Singer 2011)."""

    _moments = ("square",)
    _options = ("eps",)

    def __init__(self, lr: float = 0.01, *, eps: float = 1e-10) -> None:
        super().__init__(lr)
        self.eps = self._number("eps", eps, "positive")

    def _update(self, param: NDArray[Any], grad: NDArray[Any], *moments: NDArray[Any]) -> None:
        ops.adagrad_update(param, grad, *moments, lr=self.lr, eps=self.eps)


class RMSprop(Optimizer):
    """RMSprop: ``s = rho*s + (1 - rho)*g**2; p -= lr * g / (sqrt(s) + eps)`` (Hinton 2012)."""

    _moments = ("square",)
    _options = ("rho", "eps")

    def __init__(self, lr: float = 0.01, *, rho: float = 0.99, eps: float = 1e-8) -> None:
        super().__init__(lr)
        self.rho = self._number("rho", rho, "in [0, 1)")
        self.eps = self._number("eps", eps, "positive")

    def _update(self, param: NDArray[Any], grad: NDArray[Any], *moments: NDArray[Any]) -> None:
        ops.rmsprop_update(param, grad, *moments, lr=self.lr, rho=self.rho, eps=self.eps)


class Adam(Optimizer):
    """Adam with bias correction (Kingma and Ba 2015, algorithm 1)."""

    _moments = ("mean", "square")
    weight_decay = 0.0
    _options: ClassVar[tuple[str, ...]] = ("beta1", "beta2", "eps")

    def __init__(
        self, lr: float = 1e-3, *, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
    ) -> None:
        super().__init__(lr)
        self.beta1 = self._number("beta1", beta1, "in [0, 1)")
        self.beta2 = self._number("beta2", beta2, "in [0, 1)")
        self.eps = self._number("eps", eps, "positive")

    def _update(self, param: NDArray[Any], grad: NDArray[Any], *moments: NDArray[Any]) -> None:
        ops.adam_update(
            param,
            grad,
            *moments,
            lr=self.lr,
            beta1=self.beta1,
            beta2=self.beta2,
            eps=self.eps,
            step=self.step,
            weight_decay=self.weight_decay,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2).

    All parameters, also biases, decay by ``lr * weight_decay * p`` per step.
    """

    _options = ("beta1", "beta2", "eps", "weight_decay")

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
        self.weight_decay = self._number("weight_decay", weight_decay, "at least 0")
