"""The optimizers: they hold the moments; `fastrnn.ops` computes the updates."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(eq=False)
class _Slot:
    """The moments of one parameter and the number of its updates.

    `owner` is the array whose memory the parameter is, or None between a load and the next update.
    """

    name: str
    moments: list[NDArray[Any]]
    step: int = 0
    owner: weakref.ref[NDArray[Any]] | None = None

    @property
    def gone(self) -> bool:
        """Whether the parameter no longer exists."""
        return self.owner is not None and self.owner() is None


class Optimizer(Described):
    """The base class of optimizers: the moments of each parameter, and the state.

    A parameter is its array, whatever its name: one optimizer may update several layers, each with
    moments and a step count of its own. Moments that were loaded, and those of a copied or
    unpickled optimizer, belong to the parameters of their names in the next `update`.

    The learning rate `lr` may be set at any time; the schedule of a `Trainer` multiplies the rate
    that was set last. An optimizer is its update of one parameter, the names of its moments and its
    options, which the update takes after `lr`.
    """

    _rule: ClassVar[Callable[..., None]]
    _moments: ClassVar[tuple[str, ...]] = ()

    def __init__(self, lr: float, **options: float) -> None:
        self.lr = lr
        self._keep(**options)
        self._updates = 0  # counted here if there are no moments to count them with
        self._slots: list[_Slot] = []
        self._places: dict[int, _Slot] = {}  # by the address of the parameter

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self._lr

    @lr.setter
    def lr(self, lr: float) -> None:
        self.schedule_lr(lr)
        self._initial_lr = self._lr

    @property
    def initial_lr(self) -> float:
        """The learning rate that was set last, as opposed to scheduled."""
        return self._initial_lr

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; an option is checked."""
        if name in _RANGES:
            value = check.number(type(self).__name__, name, value, _RANGES[name])
        super().__setattr__(name, value)

    def schedule_lr(self, lr: float) -> None:
        """Set the learning rate of the next updates, without a change of `initial_lr`."""
        self._lr = check.number(type(self).__name__, "lr", lr, "at least 0")

    @property
    def step(self) -> int:
        """The number of updates of the parameter that had the most."""
        return max([self._updates, *(slot.step for slot in self._slots)])

    def update(self, params: Arrays, grads: Arrays) -> None:
        """Update the parameters in place by one step; all of them, or none after an error.

        Parameters
        ----------
        params, grads : mapping of str to ndarray
            Arrays of the same names and shapes, the same arrays in each call. Views of the same
            memory are the same array.

        Raises
        ------
        ValueError
            If names or shapes differ from each other or from the loaded state, if a parameter is
            read-only or not C-contiguous, or if it cannot be told whose moments to take: two names
            have one array, or an array took the name of one that no longer exists.
        TypeError
            If a dtype is not float32 or float64, or not that of the parameter.
        """
        self._check(params, grads)
        options = {"lr": self.lr, **self.config()}
        if not self._moments:
            self._updates += 1
            for key, param in params.items():
                self._rule(param, grads[key], **options)
            return
        slots = self._slots_of(params)
        for key, param in params.items():
            self._bind(slots[key], key, param)
        for key, param in params.items():
            slots[key].step += 1
            self._apply(slots[key], param, grads[key], **options)

    def state(self, params: Arrays | None = None) -> dict[str, NDArray[Any]]:
        """Return the step count and the moments, ``"mean.<parameter>"``, not copied.

        Parameters
        ----------
        params : mapping of str to ndarray, optional
            Return the state of these parameters, by their names here; the default is all that were
            updated, by the names that they had. A parameter with fewer updates than others has a
            count of its own, ``"step.<parameter>"``.

        Raises
        ------
        ValueError
            If two parameters have one name.
        """
        slots = self._slots_by_name() if params is None else self._slots_of(params)
        step = max([self._updates, *(slot.step for slot in slots.values())])
        state = {_STEP: _count(step)}
        if step == 0 or not self._moments:
            return state
        for key, slot in slots.items():
            moments = zip(self._moments, slot.moments, strict=True)
            state |= {f"{name}.{key}": moment for name, moment in moments}
            if slot.step != step:
                state[f"{_STEP}.{key}"] = _count(slot.step)
        return state

    def load_state(self, state: Arrays) -> None:
        """Restore a copy of a state returned by `state`.

        Raises
        ------
        ValueError
            If it is the state of another kind of optimizer, lacks moments or has a negative step.
        TypeError
            If a step is not an integer, or a moment not float32 or float64.
        """
        names = {key.partition(".")[0] for key in state}
        known = {_STEP, *self._moments}
        before_the_first = names == {_STEP} and state[_STEP] == 0
        if names != known and not before_the_first:
            raise ValueError(
                f"{type(self).__name__}: the state has {', '.join(sorted(names)) or 'nothing'}, "
                f"want {', '.join(sorted(known))}"
            )
        steps = {
            key.partition(".")[2]: check.size(
                type(self).__name__, "the step of the state", count, least=0
            )
            for key, count in state.items()
            if key.partition(".")[0] == _STEP
        }
        slots = [
            _Slot(key, self._loaded(key, state), steps.get(key, steps[""]))
            for key in _names_in(state)
        ]
        self._updates = 0 if self._moments else steps[""]
        self._slots, self._places = slots, {}

    def __getstate__(self) -> dict[str, Any]:
        kept = {k: v for k, v in vars(self).items() if k not in ("_slots", "_places")}
        return {**kept, "state": self.state()}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        state = kept.pop("state")
        vars(self).update(kept)
        self.load_state(state)

    def _apply(self, slot: _Slot, param: NDArray[Any], grad: NDArray[Any], **options: Any) -> None:
        """Update one parameter."""
        self._rule(param, grad, *slot.moments, **options)

    def _slots_of(self, params: Arrays) -> dict[str, _Slot]:
        """Return the slot of each parameter, new ones with zeros; check that each is told apart."""
        name = type(self).__name__
        slots = {key: self._slot_of(key, param) for key, param in params.items()}
        names: dict[int, str] = {}
        for key, param in params.items():
            for moment in slots[key].moments:
                check.in_place(name, f"state of {key!r}", moment, param.shape, param.dtype)
            other = names.setdefault(_address(param), key)
            if other != key:
                raise ValueError(f"{name}: parameters {other!r} and {key!r} are one array")
        found, held = set(map(id, slots.values())), set(map(id, self._slots))
        waiting = [s.name for s in self._slots if s.owner is None and id(s) not in found]
        new = [key for key, slot in slots.items() if id(slot) not in held]
        if waiting and new:
            raise ValueError(
                f"{name}: the loaded state has no parameter {new[0]!r}, but {', '.join(waiting)}"
            )
        return slots

    def _slot_of(self, key: str, param: NDArray[Any]) -> _Slot:
        """Return the slot of a parameter: the one of its memory, or of its name after a load."""
        slot = self._places.get(_address(param))
        if slot and slot.owner and slot.owner() is _owner(param):
            return slot
        for slot in self._slots:
            if slot.name == key and slot.owner is None:
                return slot
            if slot.name == key and slot.gone:
                name, way = type(self).__name__, "optimizer.load_state(optimizer.state())"
                raise ValueError(
                    f"{name}: parameter {key!r} is not the array of earlier updates, which no "
                    "longer exists; update arrays in place, or make a new optimizer, or keep the "
                    f"moments by {way}"
                )
        return _Slot(key, [np.zeros_like(param, order="C") for _ in self._moments])

    def _bind(self, slot: _Slot, key: str, param: NDArray[Any]) -> None:
        """Make the slot that of this parameter, from its first update on."""
        slot.name = key
        owner = _owner(param)
        if slot.owner is None or slot.owner() is not owner:
            if slot not in self._slots:
                self._slots.append(slot)
            slot.owner = weakref.ref(owner)
            self._places[_address(param)] = slot

    def _slots_by_name(self) -> dict[str, _Slot]:
        slots = {slot.name: slot for slot in self._slots}
        if len(slots) < len(self._slots):
            key = Counter(slot.name for slot in self._slots).most_common(1)[0][0]
            raise ValueError(
                f"{type(self).__name__}: several parameters are called {key!r}, which a state or a "
                "copy cannot tell apart; state(params) is that of some"
            )
        return slots

    def _loaded(self, key: str, state: Arrays) -> list[NDArray[Any]]:
        """Return copies of the moments of a parameter in a state."""
        if missing := [name for name in self._moments if f"{name}.{key}" not in state]:
            raise ValueError(f"{type(self).__name__}: the state has no {missing[0]} of {key!r}")
        arrays = [state[f"{name}.{key}"] for name in self._moments]
        dtypes = [check.float_dtype(type(self).__name__, f"state of {key!r}", a) for a in arrays]
        return [a.astype(dtype, order="C") for a, dtype in zip(arrays, dtypes, strict=True)]

    def _check(self, params: Arrays, grads: Arrays) -> None:
        name = type(self).__name__
        if params.keys() != grads.keys():
            differ = ", ".join(sorted(params.keys() ^ grads.keys()))
            raise ValueError(f"{name}: params and grads must have the same names; differ: {differ}")
        for key, param in params.items():
            dtype = check.float_dtype(name, f"parameter {key!r}", param)
            check.in_place(name, f"parameter {key!r}", param, np.shape(param), dtype)
            check.array(name, f"gradient of {key!r}", grads[key], param.shape, dtype)

    def _keep(self, **options: float) -> None:
        """Make options attributes."""
        for name, value in options.items():
            setattr(self, name, value)
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

    _rule = staticmethod(ops.adam_update)
    _moments = ("mean", "square")

    def __init__(
        self, lr: float = 1e-3, *, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
    ) -> None:
        super().__init__(lr, beta1=beta1, beta2=beta2, eps=eps)

    def _apply(self, slot: _Slot, param: NDArray[Any], grad: NDArray[Any], **options: Any) -> None:
        super()._apply(slot, param, grad, step=slot.step, **options)


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


def _owner(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array whose memory this one is or is a view of."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def _count(number: int) -> NDArray[Any]:
    return np.array(number, dtype=np.int64)


def _names_in(state: Arrays) -> list[str]:
    """Return the names of the parameters in a state, each once, in their order."""
    return list(dict.fromkeys(key.partition(".")[2] for key in state if key != _STEP))
