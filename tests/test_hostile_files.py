"""Damaged files: a reader raises one of its errors, in bounded memory, or reads something.

An error is one line, without what a terminal would obey.

``FASTRNN_MUTATIONS=5000 pytest tests/test_hostile_files.py`` tries as many files for each seed of
`tests/corpora/`. The seeds of `tests/tools/corpora.py` come in the form of older versions, too:
their files stay as they were written. Every second file with a digest has its digest made right
again, so that more than the digest is tried. A mutation is given by its seed and its number, which
a failure names; ``FASTRNN_MUTATION=17`` tries only number 17.
"""

from __future__ import annotations

import os
import tracemalloc
from importlib import util
from pathlib import Path

import numpy as np
import pytest
from support.mutations import mutated, resealed

import fastrnn
from fastrnn.convert import from_onnx, load_state_dict
from fastrnn.data import read_pairs, read_text
from fastrnn.models import TextModel, Translator
from fastrnn.training.checkpoint import Checkpoint

CORPORA = Path(__file__).parent / "corpora"
COUNT = int(os.environ.get("FASTRNN_MUTATIONS", "60"))
ONLY = os.environ.get("FASTRNN_MUTATION")
# What a reader may hold besides the file: 2 MiB, and the JSON and the objects of a file.
MOST_BYTES, MOST_BYTES_PER_BYTE = 2**21, 500
RUN_BYTES = 2**20  # of what a run of an ONNX file may make


def read_state_dict(path):
    load_state_dict(fastrnn.LSTM(3, 2, rng=0), path, prefix="rnn.")


def run_onnx(path):
    """Read the file and run it on inputs of the shapes that it wants, if they are small."""
    model = from_onnx(path, max_bytes=RUN_BYTES)
    feeds = []
    for value in model._program.graph.inputs:
        shape = [size if isinstance(size, int) else 2 for size in value.shape or ()]
        if any(size > 100 for size in shape) or len(shape) > 8:
            return
        feeds.append(np.ones(shape, value.dtype))
    model(*feeds)


OWN = {
    "lstm": fastrnn.load,
    "attention": fastrnn.load,
    "language-model": fastrnn.load,
    "translator": Translator.load,
    "text-model": TextModel.load,
    "checkpoint": Checkpoint.read,
}
READERS = {
    f"{name}{version}.safetensors": read for version in ("", ".2") for name, read in OWN.items()
} | {
    "defined-cell.2.safetensors": fastrnn.load,
    "state-dict.safetensors": read_state_dict,
    "gru.onnx": run_onnx,
    "language-model.onnx": run_onnx,
    "operators.onnx": run_onnx,
    "pairs.tsv": read_pairs,
    "text.txt": read_text,
}
ERRORS = {read_state_dict: (ValueError, TypeError), run_onnx: (ValueError, TypeError)}

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*without a digest"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


@pytest.fixture(scope="module", params=READERS)
def seed(request):
    if request.param.endswith(".onnx") and util.find_spec("onnx") is None:
        pytest.skip("needs onnx")
    return request.param


def test_every_seed_is_read(seed):
    READERS[seed](CORPORA / seed)


def test_every_seed_is_tried():
    assert READERS.keys() == {path.name for path in CORPORA.iterdir()}


@pytest.mark.parametrize("first", range(0, COUNT, 1000))
def test_mutated_files(seed, first, tmp_path):
    data, read = (CORPORA / seed).read_bytes(), READERS[seed]
    others = [path.read_bytes() for path in sorted(CORPORA.iterdir())]
    path = tmp_path / "file"
    read(CORPORA / seed)  # imports
    tracemalloc.start()
    try:
        for number in [int(ONLY)] if ONLY else range(first, min(first + 1000, COUNT)):
            changed = mutated(data, others, np.random.default_rng(number))
            if number % 2:
                changed = resealed(changed)
            path.write_bytes(changed)
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            try:
                read(path)
            except ERRORS.get(read, ValueError) as error:
                assert str(error).isprintable(), f"{seed}, mutation {number}: {error!r}"
            except BaseException as error:
                raise AssertionError(f"{seed}, mutation {number}: {error!r}") from error
            used = tracemalloc.get_traced_memory()[1] - before
            most = MOST_BYTES + MOST_BYTES_PER_BYTE * len(changed)
            assert used <= most, f"{seed}, mutation {number}: {used} bytes"
    finally:
        tracemalloc.stop()
