"""Addition as translation: "52+607 " -> "659 ", by three encoder-decoders.

They are plain, with a reversed source, and with a reversed source and a peeky decoder. The setting
is that of K. Saitoh's textbook "Deep Learning from Scratch 2": LSTM, embedding 16, hidden 128,
batches of 128, Adam 1e-3, gradients clipped to 5, small initial embeddings, forget gates with bias
0, and only h passed to the decoder. After 25 epochs it reached about 10, 54 and 98 % exact answers.
With `--own-start` the models start with fastrnn's defaults (larger embeddings, forget gates with
bias 1, and also c passed to the decoder), and the plain one learns, too. The script prints and
draws the fraction of exact answers to 5,000 held-out sums after each epoch. `--compare-reference`
also times the NumPy reference.
"""

from __future__ import annotations

import argparse
import statistics
import time
from itertools import islice
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fastrnn
from fastrnn.data import Batches, Vocabulary, addition, split
from fastrnn.models import Seq2Seq
from fastrnn.training import Adam, Trainer, clip_grad_norm

BATCH_SIZE, LEARNING_RATE, MAX_NORM = 128, 1e-3, 5.0
VARIANTS = {
    "plain": {},
    "reversed": {"reverse_source": True},
    "reversed, peeky": {"reverse_source": True, "peeky": True},
}


def batches(pairs: list[tuple[str, str]], vocabulary: Vocabulary) -> Batches:
    """Every source has 7 characters and every target 4, so there is nothing to pad."""
    source = np.array([vocabulary.encode(text) for text, _ in pairs])
    target = np.array([vocabulary.encode(text) for _, text in pairs])
    return Batches(source, np.full(len(source), 7), target, batch_size=BATCH_SIZE)


def make_model(
    vocabulary: Vocabulary, hidden: int, variant: dict[str, bool], *, own_start: bool = False
) -> Seq2Seq:
    size = len(vocabulary)
    model = Seq2Seq(size, size, 16, hidden, hidden_only=not own_start, rng=0, **variant)
    if not own_start:
        for part in ("encoder", "decoder"):
            embedding = model.params[f"{part}.embedding.W"]
            embedding *= 0.01 / embedding.std()
            model.params[f"{part}.rnn.b_l0"][hidden : 2 * hidden] = 0.0  # the forget gates
    return model


def seconds_per_step(backend: str, model: Seq2Seq, data: Batches, steps: int) -> float:
    """Median time of a training step after one warm-up step."""
    optimizer, seconds = Adam(LEARNING_RATE), []
    with fastrnn.backend(backend):
        for batch in islice(data.epoch(0), steps + 1):
            start = time.perf_counter()
            model.loss(*batch)
            model.backward()
            clip_grad_norm(model.grads, MAX_NORM)
            optimizer.update(model.params, model.grads)
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--quick", action="store_true", help="a minute part of the work")
    parser.add_argument("--own-start", action="store_true", help="start as fastrnn would")
    parser.add_argument("--compare-reference", action="store_true", help="time NumPy, too")
    parser.add_argument("--out", type=Path, default=Path("03_seq2seq_addition.png"))
    options = parser.parse_args()
    count = 50_000
    if options.quick:
        count, options.epochs, options.hidden = 1_000, 2, 16
    pairs = addition(count)
    vocabulary = Vocabulary.from_texts(source + target for source, target in pairs)
    train, held_out = (batches(part, vocabulary) for part in split(pairs, 0.1))

    axes = (figure := Figure(layout="constrained")).subplots()
    started = time.perf_counter()
    for name, variant in VARIANTS.items():
        model = make_model(vocabulary, options.hidden, variant, own_start=options.own_start)
        history = Trainer(model, Adam(LEARNING_RATE), max_grad_norm=MAX_NORM).fit(
            train,
            epochs=options.epochs,
            validate=lambda model: {"exact": model.accuracy(held_out)},
        )
        exact = [100 * share for share in history.metric("exact")]
        print(f"{name:16} {sum(history.seconds):6.1f} s, exact after each epoch (%):")
        print("    " + " ".join(f"{percent:.1f}" for percent in exact), flush=True)
        axes.plot(range(1, len(exact) + 1), exact, marker="o", label=name)
    total = time.perf_counter() - started
    print(f"all three: {total:.0f} s")
    if options.compare_reference:
        compare(vocabulary, train, options.hidden, options.epochs)
    axes.set(xlabel="epoch", ylabel="exact answers (%)", ylim=(0, 100), title="Addition")
    axes.legend()
    figure.savefig(options.out)
    print(f"drawn in {options.out}")


def compare(vocabulary: Vocabulary, train: Batches, hidden: int, epochs: int) -> None:
    """Time some training steps on both backends and extrapolate to the whole training."""
    if not fastrnn.cpu_info()["supported"]:
        print("nothing to compare: this fastrnn was built without a C compiler")
        return
    print(f"{'training step':16} {'compiled':>12} {'reference':>12} {'ratio':>7}")
    totals = dict.fromkeys(("compiled", "reference"), 0.0)
    for name, variant in VARIANTS.items():
        times = {
            backend: seconds_per_step(backend, make_model(vocabulary, hidden, variant), train, 20)
            for backend in totals
        }
        ratio = times["reference"] / times["compiled"]
        print(
            f"{name:16}" + "".join(f"{t * 1e3:10.2f} ms" for t in times.values()), f"{ratio:7.1f}"
        )
        for backend, seconds in times.items():
            totals[backend] += seconds * len(train) * epochs
    print(f"{epochs} epochs of all three, training steps only, extrapolated: ", end="")
    print(", ".join(f"{backend} {seconds:.0f} s" for backend, seconds in totals.items()))


if __name__ == "__main__":
    main()
