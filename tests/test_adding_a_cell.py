"""docs/adding-a-cell.md: a toy cell needs a row, two functions and a layer; and no other file."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from support.numeric import assert_close, numeric_gradient

import fastrnn
from fastrnn import layers
from fastrnn._cells import CELLS, Cell
from fastrnn.layers.recurrent import RecurrentLayer
from fastrnn.ops._recurrent import backward_one, forward_one

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/adding-a-cell.md").read_text()
FILES = re.findall(r"^\| \d+ \| `([^`]+)`(?: (\(new\)))?", PAGE, re.MULTILINE)

# h' = f * h + (1 - f) * tanh(x Wx_n + h Wh_n + b_n), f = sigmoid(x Wx_f + h Wh_f + b_f)
TOY = Cell("toy", "Toy", gates=("f", "n"), open_gates=("f",))


def step(x, states, weights, drop_h):
    (h_prev,), (Wx, Wh, b) = states, weights
    h_dropped = h_prev if drop_h is None else h_prev * drop_h
    a_f, a_n = np.split(x @ Wx + h_dropped @ Wh + b, 2, axis=1)
    f, n = 1 / (1 + np.exp(-a_f)), np.tanh(a_n)
    return (f * h_prev + (1 - f) * n,), (x, h_prev, h_dropped, drop_h, Wx, Wh, f, n)


def step_backward(dstates, saved):
    (dh,), (x, h_prev, h_dropped, drop_h, Wx, Wh, f, n) = dstates, saved
    da_f = dh * (h_prev - n) * f * (1 - f)
    da_n = dh * (1 - f) * (1 - n * n)
    da = np.concatenate((da_f, da_n), axis=1)
    dh_dropped = da @ Wh.T
    dh_prev = dh * f + (dh_dropped if drop_h is None else dh_dropped * drop_h)
    return da @ Wx.T, (dh_prev,), (x.T @ da, h_dropped.T @ da, da.sum(axis=0))


class Toy(RecurrentLayer):
    cell = TOY


@pytest.fixture
def toy(monkeypatch):
    """The toy cell, added as the page says, on the reference backend."""
    monkeypatch.setitem(CELLS, "toy", TOY)  # 1
    equations = ModuleType("fastrnn._reference.toy")  # 2
    equations.step, equations.step_backward = step, step_backward
    monkeypatch.setitem(sys.modules, equations.__name__, equations)
    monkeypatch.setattr(layers, "Toy", Toy, raising=False)  # 4 and 9
    monkeypatch.setitem(layers.RECURRENT, "toy", Toy)
    with fastrnn.backend("reference"):
        yield TOY


def test_its_gradients_are_those_of_finite_differences(toy):
    rng = np.random.default_rng(0)
    x, h0, dy, dh = (rng.standard_normal(s) for s in ((3, 4, 2), (3, 3), (3, 4, 3), (3, 3)))
    weights = [rng.standard_normal(shape) for shape in toy.shapes(2, 3).values()]
    options = {"train": True, "lengths": np.array([4, 0, 2]), "reverse": True}

    def loss():
        y, (h,), _ = forward_one(toy, x, [h0], weights, **options)
        return float(np.sum(dy * y) + np.sum(dh * h))

    *_, stash = forward_one(toy, x, [h0], weights, **options)
    gradients = backward_one(toy, dy, [dh], stash)
    names = ["x", "h0", *toy.weights]
    for name, array, gradient in zip(names, (x, h0, *weights), gradients, strict=True):
        assert_close(gradient, numeric_gradient(loss, array), 1e-8, name)


def test_its_layer_trains(toy):
    rng = np.random.default_rng(1)
    layer = Toy(2, 8, 2, bidirectional=True, dropout=0.1, dtype="float64", rng=0)
    assert layer.params["b_l0"][:8].tolist() == [1] * 8
    x = rng.standard_normal((16, 6, 2))
    wanted = np.cumsum(x[..., :1], axis=1) / 3
    optimizer = fastrnn.training.Adam(0.02)
    losses = []
    for _ in range(60):
        y, _ = layer(x)
        error = y.mean(axis=2, keepdims=True) - wanted
        losses.append(float(np.mean(error**2)))
        layer.backward(np.broadcast_to(2 * error / error.size / y.shape[2], y.shape))
        optimizer.update(layer.params, layer.grads)
    assert np.mean(losses[-5:]) < losses[0] / 4


@pytest.mark.parametrize(
    "attention",
    [{}, {"attention": "general"}, {"attention": "additive", "context": "input_feeding"}],
)
def test_a_model_takes_it(toy, attention, tmp_path):
    model = fastrnn.models.Seq2Seq(9, 9, 5, 6, cell="toy", **attention, rng=0)
    source, target = np.random.default_rng(2).integers(3, 9, (2, 4, 5))
    lengths = np.array([5, 3, 1, 4])
    first = model.loss(source, lengths, target)
    for _ in range(5):
        model.loss(source, lengths, target)
        model.backward()
        fastrnn.training.SGD(0.5).update(model.params, model.grads)
    assert model.loss(source, lengths, target) < first
    model.freeze()
    fastrnn.save(model, tmp_path / "toy.safetensors")
    again = fastrnn.load(tmp_path / "toy.safetensors").eval()
    for ours, theirs in zip(
        *(m.generate(source, lengths, max_length=6) for m in (model, again)), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_the_page_names_at_most_eleven_files():
    assert len(FILES) <= 11 and sum(new != "" for _, new in FILES) == 4
    for file, new in FILES:
        names = [file.replace("mycell", name) for name in CELLS] if new else [file]
        assert all((ROOT / name).exists() for name in names), file


# What asks for a cell by its name: a comparison, a table, a class of one cell.
NAMES, TITLES = "|".join(CELLS), "|".join(cell.title for cell in CELLS.values())
ASKS = re.compile(
    rf"""[=!]= ["']({NAMES})["']|["']({NAMES})["']: (?!self)|isinstance\(.*\b({TITLES})\b"""
)


def test_no_other_file_of_the_library_asks_for_a_cell_by_its_name():
    named = {file.replace("mycell", name) for file, _ in FILES for name in CELLS}
    guilty = [
        f"{file}: {line.strip()}"
        for file in (str(path.relative_to(ROOT)) for path in (ROOT / "src").rglob("*.*"))
        if file.endswith((".py", ".pyx", ".pxd", ".h", ".c")) and file not in named
        for line in (ROOT / file).read_text().splitlines()
        if ASKS.search(line)
    ]
    assert guilty == []
