"""A cell of one's own beside an LSTM and a LayerNormLSTM, on the adding problem.

A sequence has pairs of a number from 0 to 1 and a mark; two of its steps are marked, and the answer
is the sum of their numbers (Hochreiter and Schmidhuber 1997). To always answer 1 gives a mean
squared error of 1/6. The own cell decides by a hard gate, which can be 0 and 1 exactly, what to
write into a memory that nothing else changes. The script prints the errors and draws them.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fastrnn as fr
from fastrnn import cell
from fastrnn.training import Adam, clip_grad_norm

BATCH_SIZE, HIDDEN, SMOOTHED = 64, 32, 20


@cell.define(gates="k g o", states="h c", weights="p", title="OwnCell")
def own_cell(a, s, w):
    """A step: write where the gate opens, and read with a sight of the memory."""
    write = cell.hard_sigmoid(a.k)
    c = s.c + write * cell.tanh(a.g)
    return {"h": cell.sigmoid(a.o + w.p * c) * cell.softsign(c), "c": c}


def adding_problem(rng: np.random.Generator, steps: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.zeros((BATCH_SIZE, steps, 2), np.float32)
    x[..., 0] = rng.random((BATCH_SIZE, steps))
    half = steps // 2
    places = rng.integers(half, size=(2, BATCH_SIZE)) + np.array([[0], [half]])
    for place in places:
        x[np.arange(BATCH_SIZE), place, 1] = 1
    return x, (x[..., 0] * x[..., 1]).sum(axis=1, keepdims=True)


def train(layer: fr.layers.Layer, batches: int, steps: int) -> list[float]:
    rng, output, optimizer = np.random.default_rng(1), fr.Linear(HIDDEN, 1, rng=2), Adam(3e-3)
    # The keys of the two layers are different.
    params, grads = layer.params | output.params, layer.grads | output.grads
    errors = []
    for _ in range(batches):
        x, wanted = adding_problem(rng, steps)
        y, _ = layer(x)
        off = output(y[:, -1]) - wanted
        errors.append(float(np.mean(off**2)))
        dy = np.zeros_like(y)
        dy[:, -1] = output.backward(2 * off / BATCH_SIZE)
        layer.backward(dy)
        clip_grad_norm(grads, 1.0)
        optimizer.update(params, grads)
    return errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=50, help="of a sequence")
    parser.add_argument("--quick", action="store_true", help="a minute part of the work")
    parser.add_argument("--out", type=Path, default=Path("own_cell.png"))
    options = parser.parse_args()
    if options.quick:
        options.batches, options.steps = 30, 10

    layers = {
        "LSTM": fr.LSTM(2, HIDDEN, rng=0),
        "LayerNormLSTM": fr.LayerNormLSTM(2, HIDDEN, rng=0),
        "own cell": fr.Recurrent(own_cell, 2, HIDDEN, rng=0),
    }
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    print(f"{'cell':14} {'parameters':>11} {'ms a batch':>11} {'error':>9}")
    for name, layer in layers.items():
        start = time.perf_counter()
        errors = train(layer, options.batches, options.steps)
        milliseconds = 1e3 * (time.perf_counter() - start) / options.batches
        size = sum(param.size for param in layer.params.values())
        last = np.mean(errors[-SMOOTHED:])
        print(f"{name:14} {size:11} {milliseconds:11.2f} {last:9.5f}", flush=True)
        smooth = np.convolve(errors, np.full(SMOOTHED, 1 / SMOOTHED), mode="valid")
        axes.semilogy(range(SMOOTHED, len(errors) + 1), smooth, label=name)
    axes.axhline(1 / 6, color="gray", linestyle=":", label="the answer 1")
    axes.set(xlabel="batch", ylabel="mean squared error", title="The adding problem")
    axes.legend()
    figure.savefig(options.out)
    print(f"drawn in {options.out}")


if __name__ == "__main__":
    main()
