"""A stopped training run in a file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn import _storage
from fastrnn.training.protocol import Arrays, Model

KIND = "checkpoint"


@dataclass
class Checkpoint:
    """Everything that the rest of a run depends on, apart from the data.

    Attributes
    ----------
    params, buffers : mapping of str to ndarray
        The model's.
    optimizer : mapping of str to ndarray
        The optimizer's state.
    best : mapping of str to ndarray
        The weights that early stopping holds; empty if none.
    state : dict
        The rest, fit for JSON.
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
        _storage.write(path, arrays, {"kind": KIND, "state": state})

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Checkpoint:
        """Read a file; ValueError if it is no checkpoint."""
        import json

        arrays, metadata = _storage.read(path)
        kind = metadata.get("kind", "file without a kind")
        if kind != KIND:
            raise ValueError(f"{os.fspath(path)}: a {kind}, not a checkpoint")
        groups: dict[str, dict[str, NDArray[Any]]] = {group: {} for group in _GROUPS}
        for name, array in arrays.items():
            group, _, key = name.partition("/")
            groups[group][key] = array
        return cls(**groups, state=json.loads(metadata["state"]))

    def require_model(self, path: str | os.PathLike[str], model: Model) -> None:
        """Raise ValueError where the parameters or the generator are not those of `model`."""
        here, there = _layouts(model.params), _layouts(self.params)
        for key in sorted(here.keys() | there.keys()):
            if here.get(key) != there.get(key):
                raise ValueError(
                    f"{os.fspath(path)}: a checkpoint of another model: parameter {key!r} is "
                    f"{there.get(key, 'missing')} there, {here.get(key, 'missing')} in the model"
                )
        require_same(path, "random generator", self.state["rng"], rng_state(model))


def require_same(
    path: str | os.PathLike[str], what: str, there: dict[str, Any], here: dict[str, Any]
) -> None:
    """Raise ValueError where two states are not of the same kind, their first entry."""
    kind = next(iter(here))
    if there[kind] != here[kind]:
        raise ValueError(
            f"{os.fspath(path)}: a checkpoint with another {what}: {there[kind]} there, "
            f"{here[kind]} here"
        )


def rng_state(model: Model) -> dict[str, Any]:
    """Give the state of the model's generator."""
    return dict(model.rng.bit_generator.state)


_GROUPS = ("params", "buffers", "optimizer", "best")


def _layouts(arrays: Arrays) -> dict[str, str]:
    return {key: f"{array.dtype} {array.shape}" for key, array in arrays.items()}


def _jsonable(value: Any) -> Any:
    """Convert the arrays and NumPy integers that some bit generators keep in their state."""
    return np.asarray(value).tolist()
