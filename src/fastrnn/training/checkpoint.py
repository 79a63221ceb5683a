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

from fastrnn import _check as check
from fastrnn import _storage
from fastrnn._printable import printable
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
            raise ValueError(f"{os.fspath(path)}: a {printable(kind)}, not a checkpoint")
        if metadata.get("format") != _FORMAT:
            raise ValueError(f"{os.fspath(path)}: a checkpoint of another version of fastrnn")
        with reporting_damage(path):
            groups: dict[str, dict[str, NDArray[Any]]] = {group: {} for group in _GROUPS}
            for name, array in arrays.items():
                group, _, key = name.partition("/")
                groups[group][key] = array
            saved = cls(**groups, state=json.loads(metadata["state"]))
            saved._require_whole()
            saved._require_values()
            saved._require_arrays()
        return saved

    def _require_whole(self) -> None:
        """Raise if a part of the state is missing."""
        for section, entries in _SECTIONS.items():
            there = self.state[section]
            if section == "early_stopping" and there is None:
                continue
            if missing := entries - there.keys():
                raise ValueError(f"{section} lacks {', '.join(sorted(missing))}")
        for name, part in self.state["parts"].items():
            if not isinstance(part, dict):
                raise TypeError(f"{name} is not described")

    def _require_values(self) -> None:
        """Raise if a value of the state is none that a run can have."""
        at, history, stopping = (
            self.state[name] for name in ("position", "history", "early_stopping")
        )
        for name in ("epoch", "batch", "batches"):
            check.size("position", name, at[name], least=0)
        if at["batch"] > at["batches"]:
            raise ValueError(f"batch {at['batch']} of {at['batches']}")
        for name in ("loss_sum", "seconds"):
            _require_number("position", name, at[name])
        for name, values in history.items():
            if not isinstance(values, list) or len(values) != at["epoch"]:
                raise ValueError(f"history: {name} must be a list of {at['epoch']} epochs")
            numbers = [v for each in values for v in each.values()] if name == "metrics" else values
            for value in numbers:
                check.number("history", name, value)
        if stopping:
            check.size("early_stopping", "bad_epochs", stopping["bad_epochs"], least=0)
            if math.isnan(check.number("early_stopping", "best", stopping["best"])):
                raise ValueError("early_stopping: best is not a number")
            if math.isfinite(stopping["best"]) and not self.best:
                raise ValueError("the best weights are missing")
        _require_rng(self.state["rng"])

    def _require_arrays(self) -> None:
        """Raise if the array of a parameter is missing or does not fit it."""
        held: dict[str, dict[str, NDArray[Any]]] = {"best": dict(self.best)}
        for name, array in self.optimizer.items():
            moment, _, key = name.partition(".")
            if key and moment != "step":
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
                    f"{os.fspath(path)}: a checkpoint of another model: parameter "
                    f"{printable(repr(key))} is "
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
            name = "" if key == "kind" else f"{printable(key)} "
            raise ValueError(
                f"{os.fspath(path)}: a checkpoint with another {what}: "
                f"{name}{printable(there.get(key))} there, {printable(here.get(key))} here"
            )


@contextmanager
def reporting_damage(path: str | os.PathLike[str]) -> Iterator[None]:
    """Convert errors of missing or malformed parts to one line with the path."""
    try:
        yield
    except _DAMAGE as error:
        what = printable(f"no {error}" if isinstance(error, KeyError) else error)
        raise ValueError(f"{os.fspath(path)}: a damaged checkpoint: {what}") from error


def rng_state(model: Model) -> dict[str, Any]:
    """Return the state of the model's generator."""
    return dict(model.rng.bit_generator.state)


_DAMAGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
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
# Positions in a generator's own table, which NumPy does not check: it would read beyond it.
_TABLES = {"MT19937": 624, "Philox": 4}


def _require_number(section: str, name: str, value: Any) -> None:
    """Raise unless the value is a finite number."""
    if not math.isfinite(check.number(section, name, value)):
        raise ValueError(f"{section}: {name} must be finite, got {value}")


def _require_rng(state: dict[str, Any]) -> None:
    """Raise if the state of a generator points outside of its table."""
    size = _TABLES.get(state["bit_generator"])
    if size is not None:
        held = state if "buffer_pos" in state else state["state"]
        position = held["buffer_pos" if "buffer_pos" in held else "pos"]
        if not 0 <= check.integer("rng", "position", position) <= size:
            raise ValueError(f"rng: the position must be in 0..{size}, got {position}")


def _layouts(arrays: Arrays) -> dict[str, str]:
    return {key: f"{array.dtype} {array.shape}" for key, array in arrays.items()}


def _jsonable(value: Any) -> Any:
    """Convert the arrays and NumPy integers in the state of some bit generators."""
    return np.asarray(value).tolist()
