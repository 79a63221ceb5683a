from typing import Any, TypeAlias

from numpy.typing import NDArray

_Array: TypeAlias = NDArray[Any]

def sgd_update(param: _Array, grad: _Array, *, lr: float) -> None: ...
def momentum_update(
    param: _Array, grad: _Array, velocity: _Array, *, lr: float, momentum: float
) -> None: ...
def adagrad_update(
    param: _Array, grad: _Array, square: _Array, *, lr: float, eps: float
) -> None: ...
def rmsprop_update(
    param: _Array, grad: _Array, square: _Array, *, lr: float, rho: float, eps: float
) -> None: ...
def adam_update(
    param: _Array,
    grad: _Array,
    mean: _Array,
    square: _Array,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    step: int,
    weight_decay: float,
) -> None: ...
def squared_norm(array: _Array) -> float: ...
def scale_in_place(array: _Array, factor: float) -> None: ...
