"""Models and layers in safetensors files, with the class and its arguments in the metadata.

Reading a file builds one of the classes named here from JSON values and copies arrays into it;
no code from a file is executed.
"""

from __future__ import annotations

import errno
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias, TypeVar

import numpy as np

from fastrnn import _storage, layers
from fastrnn._cells import CELLS, FIRST_RESIDUAL
from fastrnn._printable import printable
from fastrnn.layers import Layer
from fastrnn.layers.plain import require_plain
from fastrnn.layers.recurrent import RecurrentLayer, rebuilt
from fastrnn.models.base import Array, Model
from fastrnn.models.language_model import LanguageModel
from fastrnn.models.seq2seq import Seq2Seq

Path: TypeAlias = "str | os.PathLike[str]"
M = TypeVar("M", bound=Model)
Built = TypeVar("Built")

# What constructors raise at values of the wrong kind, and JSON that is not any or too deep.
_UNFIT = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)

_MODELS: dict[str, type[Model]] = {cls.__name__: cls for cls in (LanguageModel, Seq2Seq)}
_NAMES = (
    *(cell.title for cell in CELLS.values()),
    *layers.library.__all__,
    "LSTMP",
    "Recurrent",
    "ZoneoutLSTM",
    "Embedding",
    "Linear",
    "Dropout",
    "Attention",
    "SoftmaxCrossEntropy",
    "Tanh",
    *_MODELS,
)
"""The classes that a file may hold; those of the library are made only when one is asked for."""


def save(model: Model | Layer, path: Path, *, extra: Mapping[str, Any] | None = None) -> None:
    """Write a model or a layer to a safetensors file.

    Parameters
    ----------
    model : LanguageModel, Seq2Seq or any layer of `fastrnn.layers`
    path : path-like
        An existing file is replaced atomically: a reader sees the old or the new file.
    extra : mapping, optional
        Further JSON values, for example vocabularies.

    Raises
    ------
    TypeError
        If `model` has another class, or methods of its own in the place of the class's, which
        would be lost; or JSON cannot hold `extra`.
    OSError
        If the file cannot be written.
    """
    import json

    name = type(model).__name__
    if name not in _NAMES or not isinstance(model, _class_of(name)):
        raise TypeError(f"save: model must be one of {', '.join(_NAMES)}, got {name}")
    require_plain("save", "model", model, _class_of(name))
    metadata = {
        "kind": "model",
        "class": name,
        "config": json.dumps(model.config()),
        "extra": json.dumps(dict(extra or {})),
    }
    _storage.write(path, model.params, metadata)


def _class_of(name: str) -> type[Model] | type[Layer]:
    """Return the class of one of `_NAMES`."""
    found: type[Model] | type[Layer] = _MODELS.get(name) or getattr(layers, name)
    return found


def load(path: Path) -> Any:
    """Return the model or layer in a file written by `save`, in train mode.

    Raises
    ------
    OSError
        If the file is missing or cannot be read.
    ValueError
        If the file is not complete or not written by `save`; one line that begins with the path.
    """
    model, _ = load_with_extra(path)
    return model


def load_with_extra(path: Path) -> tuple[Any, dict[str, Any]]:
    """Return the model and the `extra` dictionary in a file written by `save`.

    Raises
    ------
    OSError, ValueError
        As for `load`.
    """
    import json

    arrays, metadata = _storage.read(path)
    file = os.fspath(path)
    if metadata.get("kind") != "model":
        kind = metadata.get("kind", "file of another kind")
        raise ValueError(f"{file}: a {printable(kind)}, not a model")
    name = metadata.get("class")
    if name not in _NAMES:
        came = printable(repr(name))
        raise ValueError(f"{file}: unknown class {came}, known: {', '.join(_NAMES)}")
    try:
        config = dict(json.loads(metadata["config"]))
        model = _build(_class_of(name), config, arrays)
        extra = dict(json.loads(metadata["extra"]))
    except _UNFIT as error:
        what = f"the metadata does not describe a {name}"
        raise ValueError(f"{file}: {what}: {printable(error)}") from error
    _fill(file, model.params, arrays)
    if isinstance(model, Seq2Seq) and "readout" not in config:
        _turn_features(model)
    return model, extra


def load_as(path: Path, kind: type[M], build: Callable[[M, dict[str, Any]], Built]) -> Built:
    """Return what `build` makes of a model of this class, in eval mode, and of its `extra`."""
    model, extra = load_with_extra(path)
    if not isinstance(model, kind):
        raise ValueError(
            f"{os.fspath(path)}: holds a {type(model).__name__}, not a {kind.__name__}"
        )
    try:
        return build(model.eval(), extra)
    except _UNFIT as error:
        what = f"no vocabularies that fit the model: {printable(error)}"
        raise ValueError(f"{os.fspath(path)}: {what}") from error


def check_writable(path: Path) -> None:
    """Raise before long work, rather than after it, if `save` could not write a file.

    Raises
    ------
    OSError
        If `path` is a folder or a device, or its folder is missing or not writable. The message
        names `path`.
    """
    with _storage.naming(path):
        target = _storage.resolved(path)
        _storage.require_replaceable(target)
        tempfile.TemporaryFile(dir=target.parent).close()


def require_absent(path: Path, choices: str) -> None:
    """Raise FileExistsError, with what the user can do, if there is a file."""
    if os.path.exists(path):
        message = f"the file exists; {choices}"
        raise FileExistsError(errno.EEXIST, message, os.fspath(path))


class _Allowance(np.random.Generator):
    """A generator with a limit on its draws: a small file must not build a huge model."""

    def __init__(self, count: int) -> None:
        super().__init__(np.random.PCG64())
        self._left = count

    def standard_normal(self, size: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Draw as a generator does; raise beyond the limit."""
        self._left -= math.prod(size)
        if self._left < 0:
            raise ValueError("it has more parameters than the file has values")
        return super().standard_normal(size, *args, **kwargs)


def _build(cls: type[Model] | type[Layer], config: dict[str, Any], arrays: dict[str, Array]) -> Any:
    """Construct the class if its size fits the size of the file."""
    if cls in (layers.SoftmaxCrossEntropy, layers.Tanh):  # layers that draw nothing
        return cls(**config)
    if config.get("num_layers", 0) > len(arrays):
        raise ValueError("it has more layers than the file has arrays")
    if config.get("num_layers", 1) <= FIRST_RESIDUAL:
        config = {
            name: value for name, value in config.items() if name != "residual"
        }  # had no effect
    # Twice, because the classifier of tied weights is drawn, too, but is not in the file.
    allowance = _Allowance(2 * sum(array.size for array in arrays.values()))
    make: Any = partial(rebuilt, cls) if issubclass(cls, RecurrentLayer) else cls
    built = make(**config, rng=allowance)
    built.rng = np.random.Generator(allowance.bit_generator)
    return built


def _fill(file: str, params: dict[str, Array], arrays: dict[str, Array]) -> None:
    """Copy the arrays of a file into the parameters; raise if the names differ."""
    if missing := params.keys() - arrays.keys():
        raise ValueError(f"{file}: missing: {', '.join(sorted(missing))}")
    if surplus := arrays.keys() - params.keys():
        names = printable(", ".join(sorted(surplus)))
        raise ValueError(f"{file}: not a parameter of the model: {names}")
    for key, param in params.items():
        came = arrays[key]
        if (came.shape, came.dtype) != (param.shape, param.dtype):
            raise ValueError(
                f"{file}: {key} must be {param.dtype} {param.shape}, got {came.dtype} {came.shape}"
            )
        param[...] = came


def _turn_features(model: Seq2Seq) -> None:
    """Reorder the classifier's rows of an old file without `readout`: from h, c to c, h."""
    if model.decoder.attention is not None:
        W, H = model.decoder.output.params["W"], model.decoder.rnn.hidden_size
        W[: 2 * H] = np.roll(W[: 2 * H], H, axis=0)
