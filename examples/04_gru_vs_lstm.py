"""RNN, GRU and LSTM on the same task: parameters, time of a training step, accuracy.

The task is addition with a reversed source and a peeky decoder (see 03). The script prints a table
and draws the time of a training step over the number of parameters, and the fraction of exact
answers to held-out sums.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from fastrnn.data import PairBatches, addition, split
from fastrnn.models import Seq2Seq, Translator
from fastrnn.training import Adam, Trainer

BATCH_SIZE = 128


def exact_match(model: Seq2Seq, batches: PairBatches) -> dict[str, float]:
    return {"exact": 100 * model.accuracy(batches)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--quick", action="store_true", help="a minute part of the work")
    parser.add_argument("--out", type=Path, default=Path("04_gru_vs_lstm.png"))
    options = parser.parse_args()
    count = 50_000
    if options.quick:
        count, options.epochs, options.hidden = 1_000, 2, 16
    train, held_out = split(addition(count), 0.1)

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    print(f"{'cell':5} {'parameters':>11} {'ms a step':>10} {'exact (%)':>10}")
    for cell in ("rnn", "gru", "lstm"):
        translator = Translator.from_pairs(
            train, 16, options.hidden, cell=cell, reverse_source=True, peeky=True, rng=0
        )
        batches = translator.batches(train, batch_size=BATCH_SIZE)
        test = translator.batches(held_out, batch_size=BATCH_SIZE, shuffle=False)
        validate = partial(exact_match, batches=test)
        trainer = Trainer(translator.model, Adam(1e-3), max_grad_norm=5.0)
        history = trainer.fit(batches, epochs=options.epochs, validate=validate)
        exact = history.metric("exact")
        # One more epoch, without validation, is timed.
        seconds = trainer.fit(batches, epochs=options.epochs + 1).seconds[-1]
        milliseconds = 1e3 * seconds / len(batches)
        size = sum(param.size for param in translator.model.params.values())
        print(f"{cell:5} {size:11} {milliseconds:10.2f} {exact[-1]:10.1f}", flush=True)
        left.scatter(size, milliseconds)
        left.annotate(cell.upper(), (size, milliseconds), (6, 6), textcoords="offset points")
        right.plot(range(1, len(exact) + 1), exact, marker="o", label=cell.upper())
    left.set(xlabel="parameters", ylabel="ms a training step")
    left.set(xlim=(0, None), ylim=(0, None))
    right.set(xlabel="epoch", ylabel="exact answers (%)", ylim=(0, 100))
    right.legend()
    figure.savefig(options.out)
    print(f"drawn in {options.out}")


if __name__ == "__main__":
    main()
