"""The base class of all models: named layers as one set of parameters, modes, buffers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fastrnn import _check as check
from fastrnn import layers
from fastrnn._cells import FIRST_RESIDUAL, NO_OPTIONS
from fastrnn._check import Rng
from fastrnn.layers import Attention, Layer
from fastrnn.layers.any_cell import cell_of
from fastrnn.layers.arrays import FixedArrays, NamedArrays
from fastrnn.layers.recurrent import RecurrentLayer
from fastrnn.models.layer_arrays import LayerArrays
from fastrnn.ops import DecoderWeights

if TYPE_CHECKING:
    from typing_extensions import Self

Array: TypeAlias = npt.NDArray[Any]

_RECURRENT = ("hidden_size", "num_layers", "dropout", "recurrent_dropout", "residual", "dtype")


class Model(ABC):
    """The base class of models: layers with dotted names, trained with one loss.

    A subclass passes its layers to `__init__` and defines `loss`, `backward` and, unless it passes
    one, `config`. A parameter is named ``<layer>.<key>``, for example `encoder.rnn.Wx_l0`; the
    arrays are those of the layers, so an optimizer that updates them in place updates the layers.

    Parameters
    ----------
    layers : dict of str to Layer
        Every layer that has parameters or a train mode.
    rng : numpy.random.Generator
        The generator of all layers, for initial parameters and dropout.
    config : mapping, optional
        The constructor's arguments, without `rng`, as JSON can hold them.
    tied : collection of str, optional
        Names of parameters that share the array of another layer; `params` leaves them out.
    """

    def __init__(
        self,
        layers: Mapping[str, Layer],
        rng: np.random.Generator,
        *,
        config: Mapping[str, Any] = NO_OPTIONS,
        tied: Collection[str] = (),
    ) -> None:
        self._layers = dict(layers)
        self._rng = rng
        self._training = True
        self._tied = frozenset(tied)
        self._config = dict(config)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; raise if a part of the model would use it and another would not."""
        if "_config" in self.__dict__ and name in self.__dict__:
            held, owner = self.__dict__[name], type(self).__name__
            if isinstance(held, Layer) or hasattr(held, "layers"):
                what = "cannot be replaced, put arrays into model.params"
                raise AttributeError(f"{owner}: {name} {what}")
            if name in self._config:
                raise AttributeError(f"{owner}: {name} cannot change, build another model")
        super().__setattr__(name, value)

    def __copy__(self) -> Self:
        """Return a model of the same arrays and generator, but with layers of its own.

        So the modes, what was carried, and what `backward` needs are its own. Where a layer is
        frozen, the copy has copies of its parameters, and is not.
        """
        shared: list[Any] = [self.rng]
        for layer in self.layers.values():
            shared += [*layer.params.values(), *layer.grads.values()]
        return deepcopy(self, {id(each): each for each in shared})

    @property
    def layers(self) -> Mapping[str, Layer]:
        """The layers by name."""
        return MappingProxyType(self._layers)

    @property
    def rng(self) -> np.random.Generator:
        """The generator of all layers; another one, or a seed, is set for all of them."""
        return self._rng

    @rng.setter
    def rng(self, rng: Rng) -> None:
        self._rng = check.seeded(type(self).__name__, rng)
        for layer in self.layers.values():
            layer.rng = self._rng

    @property
    def training(self) -> bool:
        """Whether the model is in train mode; to set it is to call `train` or `eval`."""
        return self._training

    @training.setter
    def training(self, training: bool) -> None:
        (self.train if training else self.eval)()

    @property
    def params(self) -> dict[str, Array]:
        """The parameters of all layers by dotted name, each array once.

        Update them in place, or put another array of that shape and dtype: it is then that of the
        layer.
        """
        return self._collect(lambda layer: layer.params)

    @property
    def grads(self) -> dict[str, Array]:
        """The gradients, with the keys of `params`; every `backward` overwrites them."""
        return self._collect(lambda layer: layer.grads)

    def _collect(self, arrays_of: Callable[[Layer], NamedArrays]) -> dict[str, Array]:
        places = {
            dotted: (arrays_of(layer), key)
            for name, layer in self.layers.items()
            for key in arrays_of(layer)
            if (dotted := f"{name}.{key}") not in self._tied
        }
        return LayerArrays(type(self).__name__, places)

    def forget(self) -> None:
        """Forget the last `loss`, and free its memory: `backward` needs another one then."""
        for layer in self.layers.values():
            layer.forget()

    @property
    def buffers(self) -> dict[str, Array]:
        """The arrays that a model carries from batch to batch; `load_buffers` puts others."""
        why = f"{type(self).__name__}: buffers are read-only, use load_buffers"
        return FixedArrays(why, self._buffers())

    def _buffers(self) -> dict[str, Array]:
        """Return the arrays of `buffers`; most models have none."""
        return {}

    def load_buffers(self, buffers: Mapping[str, Array]) -> None:
        """Restore arrays that `buffers` returned.

        Raises
        ------
        ValueError
            If a name is unknown to this model.
        """
        if buffers:
            names = ", ".join(sorted(buffers))
            raise ValueError(f"{type(self).__name__}: has no buffers, got {names}")

    def train(self) -> Self:
        """Switch every layer to train mode.

        Raises
        ------
        ValueError
            If a layer is frozen.
        """
        return self._set_mode(True)

    def eval(self) -> Self:
        """Switch every layer to eval mode: no dropout, and nothing kept for `backward`."""
        return self._set_mode(False)

    def freeze(self) -> Self:
        """Switch to eval mode and freeze the recurrent layers, for generation and short calls.

        Their parameters are read-only until `unfreeze`; see the layers' `freeze`.
        """
        for layer in self._recurrent():
            layer.freeze()
        return self.eval()

    def unfreeze(self) -> Self:
        """Undo `freeze`, except that the model stays in eval mode."""
        for layer in self._recurrent():
            layer.unfreeze()
        return self

    def _recurrent(self) -> list[RecurrentLayer]:
        return [layer for layer in self.layers.values() if isinstance(layer, RecurrentLayer)]

    def _set_mode(self, training: bool) -> Self:
        frozen = [name for name, layer in self.layers.items() if layer.frozen]
        if training and frozen:
            owner, names = type(self).__name__, ", ".join(frozen)
            raise ValueError(f"{owner}: train needs unfreeze() first, frozen are {names}")
        for layer in self.layers.values():
            (layer.train if training else layer.eval)()
        self._training = training
        return self

    def reset(self) -> None:
        """Discard the carried arrays; most models have none."""
        self.load_buffers({})

    @abstractmethod
    def loss(self, *args: Any, **kwargs: Any) -> float:
        """Run the batch forward and return its mean loss."""

    @abstractmethod
    def backward(self) -> None:
        """Fill `grads` with the gradients of the last `loss` in train mode."""

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, without `rng`, as JSON can hold them."""
        return dict(self._config)


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Switch to eval mode in the body; restore the modes of the model and its layers after it.

    A model that is already in eval mode is not modified, so threads may share it.
    """
    if not model.training:
        yield
        return
    training = [layer for layer in model.layers.values() if layer.training]
    model.eval()
    try:
        yield
    finally:
        for layer in training:  # the other layers may be frozen
            layer.train()
        model._training = True


def build_rnn(
    options: Mapping[str, Any], input_size: int, rng: np.random.Generator, **others: Any
) -> RecurrentLayer:
    """Build the recurrent layers that the options of a model describe, or `others` instead."""
    given = {name: options[name] for name in _RECURRENT} | others
    # Of a model with several stacks, or dropout elsewhere, not every stack has a use for them.
    if given["num_layers"] == 1:
        given["dropout"] = 0.0
    if given["num_layers"] <= FIRST_RESIDUAL:
        given["residual"] = False
    cell = cell_of("cell", options["cell"])
    if cell.program is not None:
        return layers.Recurrent(cell, input_size, rng=rng, **given)
    layer: type[RecurrentLayer] = getattr(layers, cell.title)
    return layer(input_size, rng=rng, **given)


def decoder_weights(
    rnn: RecurrentLayer, attention: Attention | None = None, **others: Any
) -> DecoderWeights:
    """Return the weights of recurrent layers of one direction and of attention as a decoder."""
    if attention is not None:
        weights = tuple(attention.params.values())
        others |= {"score": attention.score, "num_heads": attention.num_heads, "weights": weights}
    return DecoderWeights(cell=rnn.cell, cells=rnn.weights(), residual=rnn.residual, **others)


def arrays_of(state: Any) -> list[Array]:
    """Return the arrays of a state of recurrent layers: h, or h and c."""
    return list(state) if isinstance(state, tuple) else [state]


def state_of(arrays: Sequence[Array]) -> Any:
    """Return the state made of these arrays, as recurrent layers take it."""
    return arrays[0] if len(arrays) == 1 else tuple(arrays)
