"""NumPy layers with the interface of a textbook's, and then fastrnn's layers in their place.

The textbook is K. Saitoh, "Deep Learning from Scratch 2". The layers below are plain NumPy. `train`
uses them by the name `layers`, as a script that begins with `import my_time_layers as layers`. The
second run changes only that import. Both runs start from the same weights and learn the characters
of this file. The script prints both losses at each step and the ratio of the times.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from fastrnn.compat import time_layers


class TimeEmbedding:
    """An embedding: rows of a matrix."""

    def __init__(self, W):
        self.params, self.grads = [W], [np.zeros_like(W)]

    def forward(self, xs):
        self.xs = xs
        return self.params[0][xs]

    def backward(self, dout):
        self.grads[0][...] = 0
        np.add.at(self.grads[0], self.xs, dout)


class TimeLSTM:
    """An LSTM with gates f, g, i, o; if stateful, a call starts from the last state."""

    def __init__(self, Wx, Wh, b, stateful=False):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(param) for param in self.params]
        self.stateful, self.h, self.c = stateful, None, None

    def forward(self, xs):
        Wx, Wh, b = self.params
        N, T, _ = xs.shape
        if not self.stateful or self.h is None:
            self.h, self.c = np.zeros((2, N, len(Wh)), dtype="f")
        hs, self.xs, self.steps = np.empty((N, T, len(Wh)), dtype="f"), xs, []
        for t in range(T):
            f, g, i, o = np.split(xs[:, t] @ Wx + self.h @ Wh + b, 4, axis=1)
            f, g, i, o = sigmoid(f), np.tanh(g), sigmoid(i), sigmoid(o)
            c = f * self.c + g * i
            self.steps.append((self.h, self.c, f, g, i, o, np.tanh(c)))
            self.h, self.c = o * np.tanh(c), c
            hs[:, t] = self.h
        return hs

    def backward(self, dhs):
        Wx, Wh, _ = self.params
        dxs, dh, dc = np.empty_like(self.xs), 0, 0
        for grad in self.grads:
            grad[...] = 0
        for t, (h, c, f, g, i, o, tanh_c) in reversed(list(enumerate(self.steps))):
            dh = dh + dhs[:, t]
            dc = dc + dh * o * (1 - tanh_c**2)
            gates = (
                dc * c * f * (1 - f),
                dc * i * (1 - g**2),
                dc * g * i * (1 - i),
                dh * tanh_c * o * (1 - o),
            )
            da = np.hstack(gates)
            self.grads[0] += self.xs[:, t].T @ da
            self.grads[1] += h.T @ da
            self.grads[2] += da.sum(axis=0)
            dxs[:, t], dh, dc = da @ Wx.T, da @ Wh.T, dc * f
        return dxs


class TimeAffine:
    """The affine map x W + b."""

    def __init__(self, W, b):
        self.params, self.grads = [W, b], [np.zeros_like(W), np.zeros_like(b)]

    def forward(self, x):
        self.x = x
        return x @ self.params[0] + self.params[1]

    def backward(self, dout):
        W, b = self.params
        rows = dout.reshape(-1, len(b))
        self.grads[0][...] = self.x.reshape(-1, len(W)).T @ rows
        self.grads[1][...] = rows.sum(axis=0)
        return dout @ W.T


class TimeSoftmaxWithLoss:
    """The mean of -log(softmax(xs)) at the targets."""

    def __init__(self):
        self.params, self.grads = [], []

    def forward(self, xs, ts):
        ys = np.exp(xs - xs.max(axis=2, keepdims=True))
        ys /= ys.sum(axis=2, keepdims=True)
        self.ys, self.ts = ys, ts[:, :, None]
        return -np.log(np.take_along_axis(ys, self.ts, axis=2)).mean()

    def backward(self, dout=1):
        right = np.take_along_axis(self.ys, self.ts, axis=2) - 1
        np.put_along_axis(self.ys, self.ts, right, axis=2)
        return self.ys * np.float32(dout / self.ts.size)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def train(layers, ids: np.ndarray, hidden: int, steps: int) -> tuple[list[float], list[float]]:
    """Losses and seconds of each step on 32 streams of the text, 25 characters at a time."""
    rng, V, D, H = np.random.default_rng(0), ids.max() + 1, 32, hidden

    def weights(rows, columns):
        return (rng.standard_normal((rows, columns)) / np.sqrt(rows)).astype("f")

    stack = [
        layers.TimeEmbedding(weights(V, D)),
        layers.TimeLSTM(weights(D, 4 * H), weights(H, 4 * H), np.zeros(4 * H, "f"), stateful=True),
        layers.TimeLSTM(weights(H, 4 * H), weights(H, 4 * H), np.zeros(4 * H, "f"), stateful=True),
        layers.TimeAffine(weights(H, V), np.zeros(V, "f")),
    ]
    loss = layers.TimeSoftmaxWithLoss()
    streams = ids[: len(ids) // 32 * 32].reshape(32, -1)
    losses, seconds = [], []
    for step in range(steps):
        start = time.perf_counter()
        at = step * 25 % (streams.shape[1] - 25)
        xs, ts = streams[:, at : at + 25], streams[:, at + 1 : at + 26]
        for layer in stack:
            xs = layer.forward(xs)
        losses.append(float(loss.forward(xs, ts)))
        dout = loss.backward()
        for layer in reversed(stack):
            dout = layer.backward(dout)
        for layer in stack:
            for param, grad in zip(layer.params, layer.grads, strict=True):
                param -= np.float32(0.5) * grad
        seconds.append(time.perf_counter() - start)
    return losses, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--quick", action="store_true", help="a minute part of the work")
    options = parser.parse_args()
    if options.quick:
        options.steps, options.hidden = 5, 16
    text = Path(__file__).read_text()
    _, ids = np.unique(list(text), return_inverse=True)

    plain, slow = train(sys.modules[__name__], ids, options.hidden, options.steps)
    swapped, fast = train(time_layers, ids, options.hidden, options.steps)
    for step, losses in enumerate(zip(plain, swapped, strict=True)):
        print("step {:2d}: loss {:.4f} with NumPy, {:.4f} swapped".format(step, *losses))
    ratio = statistics.median(slow) / statistics.median(fast)
    print(f"a step is {ratio:.1f} times as fast")


if __name__ == "__main__":
    main()
