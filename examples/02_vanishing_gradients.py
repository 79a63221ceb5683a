"""Vanishing and exploding gradients over 100 steps, and the effect of clipping.

An RNN multiplies the gradient by its recurrent matrix at each step. Here the singular values of
that matrix are all 0.9 or all 1.5, so the gradient vanishes or explodes. LSTM and GRU have a path
that is scaled only by a gate; with an open gate (bias 4, as training may set it) the gradient
passes. The script draws the norm of the gradient of the state at each step, for a loss of the last
step, and the norm of the gradient of the exploding RNN's parameters for sequences of growing
length, before and after clipping.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from fastrnn import GRU, LSTM, RNN
from fastrnn.training import clip_grad_norm

SIZE, BATCH_SIZE, MAX_NORM = 64, 8, 5.0


def rnn_with_singular_values(value: float) -> RNN:
    rng = np.random.default_rng(0)
    rnn = RNN(SIZE, SIZE, dtype=np.float64, rng=rng)
    orthogonal, _ = np.linalg.qr(rng.standard_normal((SIZE, SIZE)))
    rnn.params["Wh_l0"][...] = value * orthogonal
    return rnn


def with_open_gate(layer: LSTM | GRU) -> LSTM | GRU:
    """Open the gate that keeps the state, the second one: f of an LSTM, z of a GRU."""
    layer.params["b_l0"][SIZE : 2 * SIZE] = 4.0
    return layer


def norms_back_in_time(layer: Any, x: np.ndarray) -> list[float]:
    """Norms of the gradients of the states 0, 1, 2... steps before the last, relative to it."""
    state = layer.init_state(BATCH_SIZE)
    # A layer keeps one forward; the copies share the parameters and keep their own.
    steps = [copy.copy(layer) for _ in range(x.shape[1])]
    for t, step in enumerate(steps):
        _, state = step(x[:, t : t + 1], state)
    h = np.random.default_rng(1).standard_normal((1, BATCH_SIZE, SIZE))
    gradient = (h, np.zeros_like(h)) if isinstance(layer, LSTM) else h
    norms = [float(np.linalg.norm(gradient))]
    for step in reversed(steps):
        _, gradient = step.backward(None, gradient)
        norms.append(float(np.linalg.norm(gradient)))
    return [norm / norms[0] for norm in norms]


def parameter_gradient_norms(rnn: RNN, x: np.ndarray, lengths: range) -> np.ndarray:
    """Norm of the gradient before and after clipping, for each length: (len(lengths), 2)."""
    norms = []
    for length in lengths:
        _, h = rnn(x[:, :length])
        rnn.backward(None, h)  # the gradient of |h|^2 / 2
        before = clip_grad_norm(rnn.grads, MAX_NORM)
        after = np.sqrt(sum((grad**2).sum() for grad in rnn.grads.values()))
        norms.append((before, after))
    return np.array(norms)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--quick", action="store_true", help="a minute part of the work")
    parser.add_argument("--out", type=Path, default=Path("02_vanishing_gradients.png"))
    options = parser.parse_args()
    steps = 10 if options.quick else options.steps
    x = 0.1 * np.random.default_rng(2).standard_normal((BATCH_SIZE, steps, SIZE))

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    layers = {
        "RNN, singular values 0.9": rnn_with_singular_values(0.9),
        "RNN, singular values 1.5": rnn_with_singular_values(1.5),
        "LSTM, forget gate open": with_open_gate(LSTM(SIZE, SIZE, dtype=np.float64, rng=0)),
        "GRU, update gate open": with_open_gate(GRU(SIZE, SIZE, dtype=np.float64, rng=0)),
    }
    print(f"gradient of the state {steps} steps back, relative to that of the last state")
    for name, layer in layers.items():
        norms = norms_back_in_time(layer, x)
        print(f"  {name:26} {norms[-1]:9.2e}")
        left.semilogy(norms, label=name)
    left.set(xlabel="steps back", ylabel="norm of the gradient of the state")
    left.legend()

    lengths = range(1, steps + 1, max(1, steps // 20))
    norms = parameter_gradient_norms(rnn_with_singular_values(1.5), x, lengths)
    print(f"gradient of the exploding RNN's parameters over {lengths[-1]} steps")
    print(f"  before clipping {norms[-1, 0]:9.2e}, after {norms[-1, 1]:9.2e}")
    right.semilogy(lengths, norms[:, 0], label="before clipping")
    right.semilogy(lengths, norms[:, 1], label=f"clipped to {MAX_NORM}")
    right.set(xlabel="length of the sequences", ylabel="norm of the gradient of the parameters")
    right.legend()
    figure.savefig(options.out)
    print(f"drawn in {options.out}")


if __name__ == "__main__":
    main()
