"""The other libraries stay out until a conversion needs them."""

from __future__ import annotations

import subprocess
import sys

import pytest

import fastrnn.convert


def imported_by(code: str) -> str:
    names = ("torch", "keras", "onnx", "onnxruntime", "safetensors")
    report = f"import sys; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_import_is_light():
    assert imported_by("import fastrnn, fastrnn.convert") == "[]"
    assert imported_by("import fastrnn; dir(fastrnn.convert)") == "[]"


def test_dictionaries_need_no_other_library():
    assert (
        imported_by(
            """
import fastrnn
from fastrnn.convert import *
for layer in (fastrnn.LSTM(3, 4), fastrnn.Embedding(3, 4)):
    load_state_dict(layer, state_dict(layer))
    load_keras_weights(layer, to_keras_weights(layer))
from_keras(to_keras_weights(fastrnn.GRU(3, 4)))
"""
        )
        == "[]"
    )


@pytest.mark.parametrize("name", fastrnn.convert.__all__)
def test_every_name_is_there(name):
    function = getattr(fastrnn.convert, name)
    assert function.__doc__ and name in dir(fastrnn.convert)


def test_unknown_name():
    with pytest.raises(AttributeError, match=r"^module 'fastrnn.convert' has no attribute 'to_x'$"):
        fastrnn.convert.to_x  # noqa: B018
