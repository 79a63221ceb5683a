"""A model by hand that has all a resumed run could get wrong: dropout and carried state."""

from __future__ import annotations

import signal

import numpy as np


class SmallModel:
    """A leaky running mean of the inputs beside the input, dropout, and a linear layer."""

    def __init__(self, *, width=5, seed=0, bit_generator=np.random.PCG64, dtype=np.float64):
        self.rng = np.random.Generator(bit_generator(seed))
        self.params = {
            "layer.W": self.rng.standard_normal((2 * width, 3)).astype(dtype),
            "layer.b": self.rng.standard_normal(3).astype(dtype),
        }
        self.grads = {key: np.zeros_like(param) for key, param in self.params.items()}
        self.buffers = {}
        self.training = True
        self.calls = 0
        self.interrupt_at = None
        self.spoil_at = None

    def train(self):
        self.training = True
        return self

    def eval(self):
        self.training = False
        return self

    def reset(self):
        self.buffers = {}

    def load_buffers(self, buffers):
        self.buffers = {key: array.copy() for key, array in buffers.items()}

    def loss(self, x, y):
        if self.training:
            if self.calls == self.interrupt_at:
                signal.raise_signal(signal.SIGINT)
            self.calls += 1
        carried = self.buffers.get("mean", np.zeros_like(x[0]))
        self.buffers["mean"] = 0.7 * carried + 0.3 * x.mean(axis=0)
        inputs = np.concatenate([x, np.broadcast_to(self.buffers["mean"], x.shape)], axis=1)
        if self.training:
            inputs = inputs * (self.rng.random(inputs.shape) < 0.8) / 0.8
        error = inputs @ self.params["layer.W"] + self.params["layer.b"] - y
        self._for_backward = inputs, error
        spoiled = self.training and self.calls - 1 == self.spoil_at
        return float("nan") if spoiled else float(np.mean(error**2))

    def backward(self):
        inputs, error = self._for_backward
        derror = 2 * error / error.size
        self.grads["layer.W"][...] = inputs.T @ derror
        self.grads["layer.b"][...] = derror.sum(axis=0)
