"""The models of `numpy_models` after a change of their import: the same losses and outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

SOURCE = (Path(__file__).parents[1] / "support/numpy_models.py").read_text()
IMPORT = "from support.numpy_time_layers import *"
SWAPPED = "from fastrnn.compat.time_layers import *"
V, SIZE, STEPS = 30, 24, 20


def names(line):
    """The models' module with that line as its import."""
    assert SOURCE.count(IMPORT) == 1
    namespace = {}
    exec(compile(SOURCE.replace(IMPORT, line), "numpy_models.py", "exec"), namespace)
    return namespace


def batches(kind):
    """Sequences in which the next id follows from the last, so that there is something to learn."""
    rng = np.random.default_rng(5)
    for _ in range(STEPS):
        ids = np.cumsum(rng.integers(1, 3, (8, 11)), axis=1) % V
        if kind == "language model":
            yield ids[:, :-1], ids[:, 1:]
        else:
            yield ids[:, ::-1], ids[:, 3:]


def make(names, kind):
    np.random.seed(6)
    if kind == "language model":
        return names["LanguageModel"](V, SIZE)
    return names["Seq2seq"](V, 10, SIZE, attention=kind == "attention")


@pytest.mark.parametrize("kind", ["language model", "peeky", "attention"])
def test_one_changed_line(kind):
    results = []
    for line in (IMPORT, SWAPPED):
        swapped = names(line)
        model = make(swapped, kind)
        losses = swapped["train"](model, swapped["Adam"](0.01), batches(kind))
        if kind == "language model":
            model.reset_state()
            generated = model.generate(3, 12)
        else:
            generated = model.generate(np.array([[9, 8, 7, 5, 4]]), 4, 12)
        results.append((losses, generated))
    (plain_losses, plain_ids), (losses, ids) = results
    assert losses[-1] < 0.8 * losses[0]
    np.testing.assert_allclose(losses, plain_losses, rtol=0, atol=1e-3)
    assert ids == plain_ids
