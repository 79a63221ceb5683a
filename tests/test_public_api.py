"""The public names, and the interface of a layer in one example."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import fastrnn


def test_the_interface_of_a_layer(backend):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3, 5, 64)).astype("float32")
    dy = rng.standard_normal((3, 5, 256)).astype("float32")
    dh, dc = rng.standard_normal((2, 4, 3, 128)).astype("float32")
    lens = np.array([5, 2, 3])

    import fastrnn as fr

    lstm = fr.LSTM(64, 128, num_layers=2, bidirectional=True, dropout=0.1, dtype=np.float32, rng=0)
    y, (h, c) = lstm(x)
    assert y.shape == (3, 5, 256) and h.shape == c.shape == (4, 3, 128)
    y, (h, c) = lstm(x, (h, c), lengths=lens)
    assert not y[1, 2:].any() and y[1, :2].all()
    dx, (dh0, dc0) = lstm.backward(dy, (dh, dc))
    assert dx.shape == x.shape and dh0.shape == dc0.shape == (4, 3, 128)
    assert all(grad.any() for grad in lstm.grads.values())
    assert lstm.params.keys() == lstm.grads.keys()

    lstm = fr.LSTM(64, 128, num_layers=2, rng=0)
    state = lstm.init_state(batch_size=1)
    y_t, state = lstm.step(x[:1, 0], state)
    assert y_t.shape == (1, 128) and state[0].shape == (2, 1, 128)
    assert {array.dtype for array in (y, h, dx, dh0, y_t)} == {np.dtype("float32")}


def test_the_functional_level(backend):
    rng = np.random.default_rng(2)
    x, h0, c0 = rng.standard_normal((3, 5, 4)), *rng.standard_normal((2, 3, 6))
    Wx, Wh, b = (rng.standard_normal(s) for s in [(4, 24), (6, 24), (24,)])
    y, h, c = fastrnn.ops.lstm(x, h0, c0, Wx, Wh, b, lengths=[1, 5, 2], reverse=True)
    same, _, _, stash = fastrnn.ops.lstm_forward(
        x, h0, c0, Wx, Wh, b, lengths=[1, 5, 2], reverse=True
    )
    np.testing.assert_array_equal(y, same)
    grads = fastrnn.ops.lstm_backward(y, h, c, stash)
    assert [g.shape for g in grads] == [a.shape for a in (x, h0, c0, Wx, Wh, b)]


@pytest.mark.parametrize("name", fastrnn.__all__)
def test_every_name_is_there(name):
    assert getattr(fastrnn, name) is not None
    assert name in dir(fastrnn)


def test_names_in_submodules():
    assert fastrnn.models.Seq2Seq and fastrnn.models.LanguageModel and fastrnn.training.Adam


def test_unknown_name():
    with pytest.raises(AttributeError, match=r"^module 'fastrnn' has no attribute 'TLSM'$"):
        fastrnn.TLSM  # noqa: B018


def test_documentation_of_every_name():
    for name in set(fastrnn.__all__) - {"__version__"}:
        assert getattr(fastrnn, name).__doc__, name
    for name in fastrnn.ops.__all__:
        assert getattr(fastrnn.ops, name).__doc__, name


def test_import_is_light():
    late = ["_kernels", "_reference", "cell", "models", "training", "data"]
    code = f"""
import sys, numpy
before = set(sys.modules)
import fastrnn
new = set(sys.modules) - before
print([name for name in {late} if "fastrnn." + name in new])
print([name for name in ("safetensors", "tqdm", "json", "numpy.random") if name in new])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n[]\n"
