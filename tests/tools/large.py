"""Calls whose arrays have more than 2^31 elements, or far more of something than any test.

Each case runs in a process of its own, compares with what is known of the result, and prints what
it had, its seconds and its peak of memory, up to 18 GiB. `docs/limits.md` has the results.

python tests/tools/large.py                 # all cases
python tests/tools/large.py steps linear    # some
"""

from __future__ import annotations

import inspect
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

import fastrnn as fr
from fastrnn import ops

MORE = 2**31 + 8
rng = np.random.default_rng(0)


def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)


def repeated(rows: int, width: int) -> np.ndarray:
    """A large array of 1000 different rows."""
    return np.resize(normal(1000, width), (rows, width))


def close(ours: np.ndarray, theirs: np.ndarray, bound: float = 1e-4) -> None:
    assert np.abs(ours - theirs).max() <= bound, np.abs(ours - theirs).max()


def outputs() -> str:
    """RNN, y (16, 2^20 + 64, 128): the last sequence alone, in pieces."""
    N, T, H = 16, 2**20 + 64, 128
    x, weights = repeated(N * T, 1).reshape(N, T, 1), (normal(1, H), normal(H, H, scale=0.06))
    b, state = normal(H, scale=0.1), None
    y, h = ops.rnn(x, None, *weights, b)
    for t in range(0, T, 2**16):
        piece, state = ops.rnn(x[-1:, t : t + 2**16], state, *weights, b)
    close(y[-1, T - piece.shape[1] :], piece[0])
    close(h[-1], state[0])
    return f"y {y.shape}"


def steps() -> str:
    """RNN, T = 2^28: the state has come to rest."""
    x = np.broadcast_to(np.float32(0.3), (1, 2**28, 1))
    y, h = ops.rnn(x, None, *(np.full(s, 0.5, np.float32) for s in ((1, 1), (1, 1), 1)))
    close(h, np.tanh(0.65 + 0.5 * h), 1e-6)
    assert y[0, -1, 0] == h[0, 0]
    return f"T {2**28}"


def sequences() -> str:
    """RNN, N = 2^26: all sequences are alike."""
    x = np.broadcast_to(np.float32(0.3), (2**26, 1, 1))
    y, _ = ops.rnn(x, None, *(np.full(s, 0.5, np.float32) for s in ((1, 1), (1, 1), 1)))
    close(y[[0, -1]], np.tanh(np.float32(0.65)), 1e-6)
    assert np.ptp(y) == 0
    return f"N {2**26}"


def units() -> str:
    """A step of an RNN of 46,368 units: Wh has more than 2^31 elements."""
    H = 46_368
    Wh, h, b = repeated(H, H), normal(1, H, scale=0.01), normal(H)
    Wh *= np.float32(0.02)
    ours = ops.rnn_step(np.ones((1, 1), np.float32), h, normal(1, H) * 0, Wh, b)
    ends = np.r_[0:8, H - 8 : H]
    close(ours[:, ends], np.tanh(h.astype(float) @ Wh[:, ends] + b[ends]))
    return f"Wh {Wh.shape}"


def training() -> str:
    """LSTM, gates of 2^31 elements in the stash: the last 4096 steps alone have the gradient."""
    N, T, H, last = 16, 2**17 + 8, 256, 4096
    x, dh = repeated(N * T, 1).reshape(N, T, 1), normal(N, H)
    weights = normal(1, 4 * H), normal(H, 4 * H, scale=0.05), normal(4 * H, scale=0.1)
    *_, stash = ops.lstm_forward(x, None, None, *weights)
    whole = ops.lstm_backward(None, dh, None, stash)
    del stash
    _, *state = ops.lstm(x[:, :-last], None, None, *weights)
    *_, stash = ops.lstm_forward(x[:, -last:], *state, *weights)
    part = ops.lstm_backward(None, dh, None, stash)
    for ours, theirs in zip((whole[0][:, -last:], *whole[3:]), (part[0], *part[3:]), strict=True):
        close(ours, theirs, 1e-3 * np.abs(theirs).max())
    return f"gates ({N}, {T}, {4 * H})"


def linear() -> str:
    """Linear, y (2^22 + 1, 512)."""
    x, W, b = repeated(2**22 + 1, 8), normal(8, 512), normal(512)
    y = ops.linear(x, W, b)
    for row in (0, 2**21, 2**22):
        close(y[row], x[row] @ W + b, 1e-5)
    return f"y {y.shape}"


def vectors() -> str:
    """Embedding, y (2^25 + 1, 64)."""
    ids, W = rng.integers(0, 100, 2**25 + 1), normal(100, 64)
    y = ops.embedding(ids, W)
    assert np.array_equal(y[-3:], W[ids[-3:]])
    return f"y {y.shape}"


def table() -> str:
    """Embedding, W (2^28 + 4, 8)."""
    W = repeated(2**28 + 4, 8)
    ids = np.array([0, len(W) - 1, len(W) // 2])
    assert np.array_equal(ops.embedding(ids, W), W[ids])
    return f"W {W.shape}"


def targets() -> str:
    """Cross-entropy, logits (2^21 + 1, 1024)."""
    x = repeated(2**21 + 1, 1024)
    ids = rng.integers(0, 1024, len(x))
    rows = np.log(np.exp(x[:1000].astype(float)).sum(axis=1))
    wanted = (np.resize(rows, len(x)) - x[np.arange(len(x)), ids]).mean()
    close(np.array(ops.softmax_cross_entropy(x, ids)), wanted, 1e-5)
    return f"logits {x.shape}"


def classes() -> str:
    """Cross-entropy, V = 2^31 + 8: nearly all of the sum is small terms."""
    logits = np.zeros((1, MORE), np.float32)
    logits[0, -1] = 30
    wanted = np.log1p((MORE - 1) * np.exp(-30.0))
    close(np.array(ops.softmax_cross_entropy(logits, [MORE - 1])), wanted, 1e-3 * wanted)
    return f"V {MORE}"


def attention() -> str:
    """Attention, weights (1, 46368, 46368): the last row."""
    query, keys, values = (normal(1, 46_368, 8) for _ in range(3))
    context, weights = ops.attention(query, keys, values)
    scores = keys[0].astype(float) @ query[0, -1]
    wanted = np.exp(scores - scores.max())
    wanted /= wanted.sum()
    close(weights[0, -1], wanted, 1e-5)
    close(context[0, -1], wanted @ values[0])
    return f"weights {weights.shape}"


def tokens() -> str:
    """Greedy decoding of 10^8 tokens without an end mark."""
    cells = [[normal(4, 12), normal(4, 12), normal(12), normal(4)]]
    decoder = ops.DecoderWeights(
        cell="gru", cells=cells, embedding=normal(6, 4), output=(normal(4, 6), normal(6))
    )
    state = np.zeros((1, 1, 4), np.float32)
    decoded = ops.decode_greedy(decoder, [state], end=None, max_length=10**8)
    assert decoded.tokens.shape == (1, 10**8)
    return f"max_length {10**8}"


def file() -> str:
    """A file of 4.8 GB, written and read."""
    layer = fr.Embedding(2**27, 9, rng=0)
    last = layer.params["W"][-1].copy()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "large.safetensors")
        fr.save(layer, path)
        del layer
        assert np.array_equal(fr.load(path).params["W"][-1], last)
        return f"bytes {path.stat().st_size}"


CASES = {
    name: case
    for name, case in list(globals().items())
    if inspect.isfunction(case) and case.__annotations__ == {"return": "str"}
}


def run(name: str) -> None:
    """Run a case in this process and print its line."""
    with open("/proc/self/oom_score_adj", "w") as score:  # if memory ends, this process goes first
        score.write("1000")
    start = perf_counter()
    had = CASES[name]()
    gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name}: {had}, {perf_counter() - start:.0f} s, {gib:.1f} GiB", flush=True)


if __name__ == "__main__":
    if os.environ.get("FASTRNN_LARGE"):
        run(sys.argv[1])
    else:
        here, failed = {**os.environ, "FASTRNN_LARGE": "1"}, 0
        for name in sys.argv[1:] or CASES:
            code = subprocess.run([sys.executable, __file__, name], env=here).returncode
            if code:
                print(f"{name}: exit status {code}", flush=True)
            failed += code != 0
        sys.exit(failed > 0)
