"""The ways in which a layer or a model is copied."""

from __future__ import annotations

import copy
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastrnn


def through_file(subject: Any) -> Any:
    """Save and load; a file holds neither the state of the generator nor the mode."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "copy.safetensors"
        fastrnn.save(subject, path)
        loaded = fastrnn.load(path)
    # The layers of a model share its generator.
    loaded.rng.bit_generator.state = subject.rng.bit_generator.state
    return loaded if subject.training else loaded.eval()


def _through_pickle(protocol: int) -> Callable[[Any], Any]:
    return lambda subject: pickle.loads(pickle.dumps(subject, protocol))


PICKLES = {
    f"pickle {protocol}": _through_pickle(protocol)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
}
DEEP = {"deepcopy": copy.deepcopy, **PICKLES}
COPIES = {"file": through_file, **DEEP}


def copied(subject: Any, name: str) -> Any:
    """Send a layer through a file, deepcopy and pickle; the name decides on the protocol."""
    subject = copy.deepcopy(through_file(subject))
    return list(PICKLES.values())[sum(name.encode()) % len(PICKLES)](subject)
