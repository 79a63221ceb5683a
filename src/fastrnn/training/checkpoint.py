"""Checkpoints: the state of a training run in a file."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn import _storage
from fastrnn.training.protocol import Arrays, Configured, Model

KIND = "checkpoint"
_FORMAT = "2"


@dataclass
class Checkpoint:
    """Everything that the rest of a run depends on, except the data.

    Attributes
    ----------
    params, buffers : mapping of str to ndarray
        Arrays of the model.
    optimizer : mapping of str to ndarray
        The optimizer's state.
    best : mapping of str to ndarray
        The best weights so far, kept by early stopping; may be empty.
    state : dict
        The rest, as JSON values.
    """

    params: Arrays
    buffers: Arrays
    optimizer: Arrays
    best: Arrays
    state: dict[str, Any]

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the file atomically."""
        import json

        arrays = {
            f"{group}/{key}": array
            for group in _GROUPS
            for key, array in getattr(self, group).items()
        }
        state = json.dumps(self.state, default=_jsonable)
        _storage.write(path, arrays, {"kind": KIND, "format": _FORMAT, "state": state})

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Checkpoint:
        """Read a file; raise ValueError if it is damaged or not a checkpoint."""
        import json

        arrays, metadata = _storage.read(path)
        kind = metadata.get("kind", "file without a kind")
        if kind != KIND:
            raise ValueError(f"{os.fspath(path)}: a {kind}, not a checkpoint")
        if metadata.get("format") != _FORMAT:
            raise ValueError(f"{os.fspath(path)}: a checkpoint of another version of fastrnn")
        with reporting_damage(path):
            groups: dict[str, dict[str, NDArray[Any]]] = {group: {} for group in _GROUPS}
            for name, array in arrays.items():
                group, _, key = name.partition("/")
                groups[group][key] = array
            saved = cls(**groups, state=json.loads(metadata["state"]))
            saved._require_whole()
        return saved

    def _require_whole(self) -> None:
        """Raise if a part of the state or an array of a parameter is missing."""
        for section, entries in _SECTIONS.items():
            there = self.state[section]
            if section == "early_stopping" and there is None:
                continue
            if missing := entries - there.keys():
                raise ValueError(f"{section} lacks {', '.join(sorted(missing))}")
        for name, part in self.state["parts"].items():
            if not isinstance(part, dict):
                raise TypeError(f"{name} is not described")
        stopping = self.state["early_stopping"]
        if stopping and math.isfinite(stopping["best"]) and not self.best:
            raise ValueError("the best weights are missing")
        held: dict[str, dict[str, NDArray[Any]]] = {"best": dict(self.best)}
        for name, array in self.optimizer.items():
            moment, _, key = name.partition(".")
            if key:
                held.setdefault(moment, {})[key] = array
        for what, arrays in held.items():
            if arrays and _layouts(arrays) != _layouts(self.params):
                raise ValueError(f"{what} does not fit the parameters")

    def require_model(self, path: str | os.PathLike[str], model: Model) -> None:
        """Raise ValueError if the parameters or the generator differ from those of `model`."""
        here, there = _layouts(model.params), _layouts(self.params)
        for key in sorted(here.keys() | there.keys()):
            if here.get(key) != there.get(key):
                raise ValueError(
                    f"{os.fspath(path)}: a checkpoint of another model: parameter {key!r} is "
                    f"{there.get(key, 'missing')} there, {here.get(key, 'missing')} in the model"
                )
        there_rng, here_rng = self.state["rng"]["bit_generator"], rng_state(model)["bit_generator"]
        require_same(path, "random generator", {"kind": there_rng}, {"kind": here_rng})


def description(part: object) -> dict[str, Any]:
    """Return the class of an object and, if it has `config`, its constructor's arguments."""
    if part is None:
        return {"kind": None}
    config = part.config() if isinstance(part, Configured) else {}
    return {"kind": type(part).__name__, **config}


def require_same(
    path: str | os.PathLike[str], what: str, there: dict[str, Any], here: dict[str, Any]
) -> None:
    """Raise ValueError if two descriptions differ; the message has the first difference."""
    import json

    here = json.loads(json.dumps(here, default=_jsonable))
    for key in {**here, **there}:
        if there.get(key) != here.get(key):
            name = "" if key == "kind" else f"{key} "
            raise ValueError(
                f"{os.fspath(path)}: a checkpoint with another {what}: "
                f"{name}{there.get(key)} there, {here.get(key)} here"
            )


@contextmanager
def reporting_damage(path: str | os.PathLike[str]) -> Iterator[None]:
    """Convert errors of missing or malformed parts to one line with the path."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{os.fspath(path)}: a damaged checkpoint: {what}") from error


def rng_state(model: Model) -> dict[str, Any]:
    """Return the state of the model's generator."""
    return dict(model.rng.bit_generator.state)


_GROUPS = ("params", "buffers", "optimizer", "best")
_SECTIONS = {
    "position": {"epoch", "batch", "batches", "loss_sum", "seconds"},
    "history": {"losses", "metrics", "learning_rates", "seconds"},
    "rng": {"bit_generator"},
    "parts": {"model", "optimizer", "schedule"},
    "data": set(),
    "learning_rate": {"initial", "now", "schedule"},
    "early_stopping": {"monitor", "best", "bad_epochs"},
}


def _layouts(arrays: Arrays) -> dict[str, str]:
    return {key: f"{array.dtype} {array.shape}" for key, array in arrays.items()}


def _jsonable(value: Any) -> Any:
    """Convert the arrays and NumPy integers in the state of some bit generators."""
    return np.asarray(value).tolist()
