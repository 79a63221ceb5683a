"""What all layers share: parameters, gradients, mode, random numbers and the tape."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar, TypeVar

import numpy as np

from fastrnn import _check as check
from fastrnn._check import Array, DType, Rng
from fastrnn.layers.arrays import NamedArrays

Self = TypeVar("Self", bound="Layer")


# Arguments of constructors that are only read, so another value takes effect.
_RATES = {"dropout", "recurrent_dropout", "p", "label_smoothing", "ignore_index"}


class Layer:
    """A layer: parameters, their gradients, and the operations of `fastrnn.ops` on them.

    A layer remembers one forward: the last in train mode that did not fail. `backward` gives the
    gradients of that one, as often as it is called, and it cannot tell to which of two forwards of
    the same shapes a gradient of their outputs belongs: after ``y1 = layer(x1)`` and
    ``y2 = layer(x2)``, those of ``y1`` cannot be had. Whoever needs them calls the functions of
    `fastrnn.ops`, which return what a forward left. Evaluation mode, a copy and a pickle have no
    forward to go back from, so `backward` raises.

    Attributes
    ----------
    params : dict of str to array
        The parameters; update them in place, or put another array of that shape and dtype under
        the same name. Other names are an error.
    grads : dict of str to array
        Their gradients, under the same keys: always the same arrays, overwritten by each
        `backward`.
    training : bool
        Whether `forward` keeps what `backward` needs and dropout drops; True at first. To set it is
        to call `train` or `eval`.
    rng : numpy.random.Generator
        What draws the initial parameters and the dropout.

    Notes
    -----
    The constructor's arguments are attributes. Rates of dropout and of label smoothing, and
    `ignore_index`, may be set; the others cannot change.

    `forward` and `backward` raise what the operations raise: ValueError for a wrong shape, length
    or id, TypeError for a wrong dtype. `backward` also raises ValueError without a forward in train
    mode before it.
    """

    _arguments: ClassVar[tuple[str, ...]] = ()  # of the constructor, except rng
    _fixed: ClassVar[frozenset[str]] = frozenset()  # attributes that are set once
    _backend: ClassVar[str | None] = None
    _writes: list[Callable[[], Any]] | None = None  # to `grads`, while a model's backward runs

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._fixed = frozenset(cls._arguments) - _RATES | {"options", "directions"}

    def __init__(self, rng: Rng = None) -> None:
        self._params = NamedArrays(self._name, {})
        self._grads = NamedArrays(self._name, {})
        self._training = True
        self.rng = check.seeded(self._name, rng)
        self._tape: Any = None  # what the last forward in train mode left for backward

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the outputs; see the class."""
        raise NotImplementedError

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call `forward`."""
        return self.forward(*args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; raise if it is one that the parameters were made for."""
        if name in self._fixed and self.__dict__.get(name, value) != value:
            raise AttributeError(f"{self._name}: {name} cannot change, build another layer")
        super().__setattr__(name, value)

    @property
    def params(self) -> NamedArrays:
        """The parameters; see the class."""
        return self._params

    @params.setter
    def params(self, params: Mapping[str, Array]) -> None:
        self._replace("params", self._params, params)

    @property
    def grads(self) -> NamedArrays:
        """The gradients; see the class."""
        return self._grads

    @grads.setter
    def grads(self, grads: Mapping[str, Array]) -> None:
        self._replace("grads", self._grads, grads)

    @property
    def training(self) -> bool:
        """Whether the layer is in train mode; see the class."""
        return self._training

    @training.setter
    def training(self, training: bool) -> None:
        (self.train if training else self.eval)()

    @property
    def frozen(self) -> bool:
        """Whether the parameters are read-only, as the `freeze` of recurrent layers makes them."""
        return False

    def train(self: Self) -> Self:
        """Set train mode and return the layer."""
        self._training = True
        return self

    def eval(self: Self) -> Self:
        """Set evaluation mode, forget the last forward and return the layer.

        In this mode `forward` stores nothing: many threads may call it at once.
        """
        self._training = False
        self.forget()
        return self

    def forget(self) -> None:
        """Forget the last forward, and free its memory: `backward` needs another one then."""
        self._tape = None

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, except `rng`, as JSON has them."""
        values = {name: getattr(self, name) for name in self._arguments}
        return {k: value.name if k == "dtype" else value for k, value in values.items()}

    def __getstate__(self) -> dict[str, Any]:
        """Leave the tape out of copies and pickles; these have dictionaries of their own."""
        own = {"_params": dict(self._params), "_grads": dict(self._grads)}
        return {**self.__dict__, **own, "_tape": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        named = {key: NamedArrays(self._name, state[key]) for key in ("_params", "_grads")}
        self.__dict__.update(state, **named)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _add(self, key: str, param: Array) -> None:
        """Register a parameter."""
        self._params.add(key, param)
        self._grads.add(key, np.zeros_like(param))

    def _replace(self, what: str, old: dict[str, Array], new: Mapping[str, Array]) -> None:
        """Put the arrays of a dictionary of the same names into another."""
        if new.keys() != old.keys():
            wanted, came = (", ".join(arrays) or "none" for arrays in (old, new))
            raise ValueError(f"{self._name}: {what} must have the names {wanted}, got {came}")
        old.update(new)

    def _normal(self, shape: tuple[int, ...], fan_in: int, dtype: DType) -> Array:
        """Draw from a normal distribution of variance 1 / fan_in, the same in both dtypes."""
        drawn: Array = self.rng.standard_normal(shape) / np.sqrt(fan_in)
        return drawn.astype(dtype)

    def param(self, key: str) -> Array:
        """Return a parameter, checked: a user may have put another array there."""
        grad = self._grads[key]
        return check.array(
            self._name, key, self._params.get(key), grad.shape, grad.dtype, contiguous=True
        )

    def _recorded(self) -> Any:
        """Return the tape of the last forward in train mode."""
        if self._tape is None:
            raise ValueError(f"{self._name}: backward needs a forward in train mode before it")
        return self._tape

    def _set_grads(self, grads: dict[str, Array]) -> None:
        """Overwrite the gradients in place."""
        for key, grad in grads.items():
            self._write(np.copyto, self.grads[key], grad)

    def _write(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call what writes to `grads`: now, or when the backward of the whole model is done."""
        if self._writes is None:
            function(*arguments)
        else:
            self._writes.append(partial(function, *arguments))


@contextmanager
def all_or_none(layers: Collection[Layer]) -> Iterator[None]:
    """Write the gradients that layers compute in the body after it: none, if it fails."""
    writes: list[Callable[[], Any]] = []
    for layer in layers:
        layer._writes = writes
    try:
        yield
    finally:
        for layer in layers:
            layer._writes = None
    for write in writes:
        write()
