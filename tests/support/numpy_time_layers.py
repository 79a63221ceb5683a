"""Layers with the interface of Saitoh's "Deep Learning from Scratch 2", in plain NumPy.

They compute in the dtype of their parameters, so that float64 gives exact gradients.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Attention",
    "AttentionWeight",
    "TimeAffine",
    "TimeAttention",
    "TimeBiLSTM",
    "TimeDropout",
    "TimeEmbedding",
    "TimeGRU",
    "TimeLSTM",
    "TimeRNN",
    "TimeSigmoidWithLoss",
    "TimeSoftmaxWithLoss",
    "WeightSum",
    "np",
]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class Layer:
    def __init__(self, *params):
        self.params = list(params)
        self.grads = [np.zeros_like(param) for param in params]

    def overwrite(self, *grads):
        for kept, grad in zip(self.grads, grads, strict=True):
            kept[...] = grad


class RNN(Layer):
    def forward(self, x, h_prev):
        Wx, Wh, b = self.params
        h = np.tanh(x @ Wx + h_prev @ Wh + b)
        self.cache = x, h_prev, h
        return h

    def backward(self, dh):
        Wx, Wh, _ = self.params
        x, h_prev, h = self.cache
        da = dh * (1 - h * h)
        self.overwrite(x.T @ da, h_prev.T @ da, da.sum(axis=0))
        return da @ Wx.T, da @ Wh.T


class LSTM(Layer):
    def forward(self, x, h_prev, c_prev):
        Wx, Wh, b = self.params
        a_f, a_g, a_i, a_o = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
        f, g, i, o = sigmoid(a_f), np.tanh(a_g), sigmoid(a_i), sigmoid(a_o)
        c = f * c_prev + g * i
        t = np.tanh(c)
        self.cache = x, h_prev, c_prev, f, g, i, o, t
        return o * t, c

    def backward(self, dh, dc):
        Wx, Wh, _ = self.params
        x, h_prev, c_prev, f, g, i, o, t = self.cache
        dc = dc + dh * o * (1 - t * t)
        da_f, da_g = dc * c_prev * f * (1 - f), dc * i * (1 - g * g)
        da_i, da_o = dc * g * i * (1 - i), dh * t * o * (1 - o)
        da = np.hstack((da_f, da_g, da_i, da_o))
        self.overwrite(x.T @ da, h_prev.T @ da, da.sum(axis=0))
        return da @ Wx.T, da @ Wh.T, dc * f


class GRU(Layer):
    def forward(self, x, h_prev):
        Wx, Wh, b = self.params
        H = len(Wh)
        az, ar, an = np.split(x @ Wx + b, 3, axis=1)
        z = sigmoid(az + h_prev @ Wh[:, :H])
        r = sigmoid(ar + h_prev @ Wh[:, H : 2 * H])
        n = np.tanh(an + (r * h_prev) @ Wh[:, 2 * H :])
        self.cache = x, h_prev, z, r, n
        return (1 - z) * h_prev + z * n

    def backward(self, dh):
        Wx, Wh, _ = self.params
        x, h_prev, z, r, n = self.cache
        H = len(Wh)
        da_n = dh * z * (1 - n * n)
        dreset = da_n @ Wh[:, 2 * H :].T
        da_z = dh * (n - h_prev) * z * (1 - z)
        da_r = dreset * h_prev * r * (1 - r)
        da = np.hstack((da_z, da_r, da_n))
        dWh = np.hstack((h_prev.T @ da_z, h_prev.T @ da_r, (r * h_prev).T @ da_n))
        self.overwrite(x.T @ da, dWh, da.sum(axis=0))
        through = da_z @ Wh[:, :H].T + da_r @ Wh[:, H : 2 * H].T
        return da @ Wx.T, dh * (1 - z) + dreset * r + through


class OverTime(Layer):
    cell: type
    states: tuple[str, ...] = ("h",)

    def __init__(self, Wx, Wh, b, stateful=False):
        super().__init__(Wx, Wh, b)
        self.stateful = stateful
        self.reset_state()
        self.dh = None

    def set_state(self, *states):
        for name in self.states:
            setattr(self, name, None)
        for name, state in zip(self.states, states, strict=False):
            setattr(self, name, state)

    def reset_state(self):
        self.set_state()

    def forward(self, xs):
        Wx, Wh, _ = self.params
        N, T, _ = xs.shape
        H = len(Wh)
        states = [getattr(self, name) if self.stateful else None for name in self.states]
        states = [np.zeros((N, H), Wx.dtype) if state is None else state for state in states]
        hs = np.empty((N, T, H), Wx.dtype)
        self.steps = []
        for t in range(T):
            step = self.cell(*self.params)
            new = step.forward(xs[:, t], *states)
            states = [new] if len(states) == 1 else list(new)
            hs[:, t] = states[0]
            self.steps.append(step)
        self.set_state(*states)
        return hs

    def backward(self, dhs):
        Wx, _, _ = self.params
        N, T, H = dhs.shape
        dxs = np.empty((N, T, len(Wx)), Wx.dtype)
        totals = [np.zeros_like(grad) for grad in self.grads]
        dstates = [np.zeros((N, H), Wx.dtype) for _ in self.states]
        for t in reversed(range(T)):
            dxs[:, t], *dstates = self.steps[t].backward(dhs[:, t] + dstates[0], *dstates[1:])
            for total, grad in zip(totals, self.steps[t].grads, strict=True):
                total += grad
        self.overwrite(*totals)
        self.dh = dstates[0]
        return dxs


class TimeRNN(OverTime):
    cell = RNN


class TimeGRU(OverTime):
    cell = GRU


class TimeLSTM(OverTime):
    cell = LSTM
    states = ("h", "c")


class TimeBiLSTM:
    def __init__(self, Wx1, Wh1, b1, Wx2, Wh2, b2, stateful=False):
        self.forward_lstm = TimeLSTM(Wx1, Wh1, b1, stateful)
        self.backward_lstm = TimeLSTM(Wx2, Wh2, b2, stateful)
        self.params = self.forward_lstm.params + self.backward_lstm.params
        self.grads = self.forward_lstm.grads + self.backward_lstm.grads

    def reset_state(self):
        self.forward_lstm.reset_state()
        self.backward_lstm.reset_state()

    def forward(self, xs):
        there = self.forward_lstm.forward(xs)
        back = self.backward_lstm.forward(xs[:, ::-1])
        return np.concatenate((there, back[:, ::-1]), axis=2)

    def backward(self, dhs):
        H = dhs.shape[2] // 2
        there = self.forward_lstm.backward(dhs[:, :, :H])
        back = self.backward_lstm.backward(dhs[:, ::-1, H:])
        return there + back[:, ::-1]


class TimeEmbedding(Layer):
    def __init__(self, W):
        super().__init__(W)

    def forward(self, xs):
        self.ids = xs
        return self.params[0][xs]

    def backward(self, dout):
        self.grads[0][...] = 0
        np.add.at(self.grads[0], self.ids, dout)


class TimeAffine(Layer):
    def __init__(self, W, b):
        super().__init__(W, b)

    def forward(self, x):
        W, b = self.params
        self.x = x
        return (x.reshape(-1, len(W)) @ W + b).reshape(*x.shape[:-1], len(b))

    def backward(self, dout):
        W, b = self.params
        rows, x = dout.reshape(-1, len(b)), self.x.reshape(-1, len(W))
        self.overwrite(x.T @ rows, rows.sum(axis=0))
        return (rows @ W.T).reshape(self.x.shape)


class TimeDropout(Layer):
    def __init__(self, dropout_ratio=0.5):
        super().__init__()
        self.dropout_ratio, self.train_flg = dropout_ratio, True

    def forward(self, xs):
        if not self.train_flg:
            return xs
        keep = np.random.rand(*xs.shape) > self.dropout_ratio
        self.mask = keep.astype(xs.dtype) * (1 / (1 - self.dropout_ratio))
        return xs * self.mask

    def backward(self, dout):
        return dout * self.mask


class TimeSoftmaxWithLoss(Layer):
    def __init__(self):
        super().__init__()
        self.ignore_label = -1

    def forward(self, xs, ts):
        if ts.ndim == 3:
            ts = ts.argmax(axis=2)
        ys, ts = softmax(xs.reshape(-1, xs.shape[2])), ts.reshape(-1)
        counts = ts != self.ignore_label
        self.cache = ys, ts, counts, xs.shape
        return -np.log(ys[np.arange(len(ts)), ts])[counts].sum() / counts.sum()

    def backward(self, dout=1):
        ys, ts, counts, shape = self.cache
        dx = ys.copy()
        dx[np.arange(len(ts)), ts] -= 1
        return (dx * (counts[:, None] * dout / counts.sum())).astype(ys.dtype).reshape(shape)


class TimeSigmoidWithLoss(Layer):
    def forward(self, xs, ts):
        self.cache = ys, ts = sigmoid(xs), ts
        return -np.mean(np.where(ts == 1, np.log(ys), np.log(1 - ys)))

    def backward(self, dout=1):
        ys, ts = self.cache
        return (ys - ts) * dout / ts.size


class WeightSum(Layer):
    def forward(self, hs, a):
        self.cache = hs, a
        return (hs * a[:, :, None]).sum(axis=1)

    def backward(self, dc):
        hs, a = self.cache
        return dc[:, None] * a[:, :, None], (dc[:, None] * hs).sum(axis=2)


class AttentionWeight(Layer):
    def forward(self, hs, h):
        self.cache = hs, h, softmax((hs * h[:, None]).sum(axis=2))
        return self.cache[2]

    def backward(self, da):
        hs, h, a = self.cache
        ds = a * (da - (a * da).sum(axis=1, keepdims=True))
        return ds[:, :, None] * h[:, None], (ds[:, :, None] * hs).sum(axis=1)


class Attention(Layer):
    def __init__(self):
        super().__init__()
        self.score, self.mean = AttentionWeight(), WeightSum()

    def forward(self, hs, h):
        self.attention_weight = self.score.forward(hs, h)
        return self.mean.forward(hs, self.attention_weight)

    def backward(self, dout):
        dhs, da = self.mean.backward(dout)
        dhs_score, dh = self.score.backward(da)
        return dhs + dhs_score, dh


class TimeAttention(Layer):
    def forward(self, hs_enc, hs_dec):
        self.steps = [Attention() for _ in range(hs_dec.shape[1])]
        outs = [step.forward(hs_enc, hs_dec[:, t]) for t, step in enumerate(self.steps)]
        self.attention_weights = [step.attention_weight for step in self.steps]
        return np.stack(outs, axis=1)

    def backward(self, dout):
        pairs = [step.backward(dout[:, t]) for t, step in enumerate(self.steps)]
        return sum(dhs for dhs, _ in pairs), np.stack([dh for _, dh in pairs], axis=1)
