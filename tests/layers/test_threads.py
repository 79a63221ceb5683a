"""Layers in several Python threads at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastrnn import GRU, LSTM, RNN, Attention, Linear, SoftmaxCrossEntropy
from fastrnn.training import Adam, clip_grad_norm

N, T, D, H, V = 48, 12, 30, 40, 50
CELLS = (RNN, LSTM, GRU)


def trained(cell, seed):
    """The parameters after a few steps of a small network of its own."""
    rng = np.random.default_rng(seed)
    layers = {
        "rnn": cell(D, H, rng=rng),
        "attention": Attention(H, H, score="general", rng=rng),
        "output": Linear(H, V, rng=rng),
    }
    loss, optimizer = SoftmaxCrossEntropy(), Adam(1e-2)
    params = {f"{name}.{key}": a for name, part in layers.items() for key, a in part.params.items()}
    grads = {f"{name}.{key}": a for name, part in layers.items() for key, a in part.grads.items()}
    for _ in range(5):
        x = rng.standard_normal((N, T, D), np.float32)
        y, _ = layers["rnn"](x, lengths=rng.integers(0, T + 1, N), num_threads=2)
        context, _ = layers["attention"](y, y, num_threads=2)
        loss(layers["output"](context, num_threads=2), rng.integers(0, V, (N, T)), num_threads=2)
        dcontext = layers["output"].backward(loss.backward(), num_threads=2)
        dquery, dkeys, _ = layers["attention"].backward(dcontext, num_threads=2)
        layers["rnn"].backward(dquery + dkeys, num_threads=2)
        clip_grad_norm(grads, 1.0)
        optimizer.update(params, grads)
    return params


def test_training_of_separate_layers():
    jobs = [(cell, seed) for cell in CELLS for seed in (1, 2)]
    wanted = [trained(*job) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        np.testing.assert_equal(list(pool.map(trained, *zip(*jobs, strict=True))), wanted)


@pytest.mark.parametrize("cell", CELLS)
def test_evaluation_of_one_layer(cell):
    rng = np.random.default_rng(3)
    layer = cell(D, H, 2, bidirectional=True, rng=rng).eval()
    batches = [rng.standard_normal((N, T, D), np.float32) for _ in range(12)]
    wanted = [layer(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda batch: layer(batch, num_threads=2), batches))
    np.testing.assert_equal(results, wanted)
