"""Character-level language models of the Python manual: RNN, LSTM and GRU.

The text is that of `help()`, which is part of every Python. The script prints the perplexity on a
held-out part after each epoch and a paragraph sampled from each model, and draws the perplexities.
"""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
from matplotlib.figure import Figure

from fastrnn.data import StreamBatches, Vocabulary
from fastrnn.models import LanguageModel
from fastrnn.training import Adam, Trainer

BATCH_SIZE, STEPS = 32, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--hidden", type=int, default=192)
    parser.add_argument("--quick", action="store_true", help="a minute part of the work")
    parser.add_argument("--out", type=Path, default=Path("01_rnn_language_model.png"))
    options = parser.parse_args()
    text = "\n\n".join(topics[name] for name in sorted(topics))
    if options.quick:
        text, options.epochs, options.hidden = text[:20_000], 2, 16
    vocabulary = Vocabulary.from_texts([text])
    ids = vocabulary.encode(text)
    cut = len(ids) * 9 // 10
    train = StreamBatches(ids[:cut], batch_size=BATCH_SIZE, num_steps=STEPS)
    valid = StreamBatches(ids[cut:], batch_size=BATCH_SIZE, num_steps=STEPS)
    print(f"{len(ids)} characters, {len(vocabulary)} different ones")

    axes = (figure := Figure(layout="constrained")).subplots()
    for cell in ("rnn", "lstm", "gru"):
        model = LanguageModel(
            len(vocabulary), 64, options.hidden, cell=cell, num_layers=2, dropout=0.1, rng=0
        )
        trainer = Trainer(model, Adam(3e-3), max_grad_norm=1.0)
        history = trainer.fit(
            train,
            epochs=options.epochs,
            validate=lambda model: {"perplexity": model.perplexity(valid)},
        )
        perplexities = history.metric("perplexity")
        print(f"\n{cell}: perplexity {', '.join(f'{p:.2f}' for p in perplexities)}")
        start = vocabulary.encode("The ")
        specials = range(4)
        letters = model.sample(start, 400, temperature=0.7, exclude=specials, seed=1)
        paragraph = vocabulary.decode(np.concatenate([start, letters]))
        paragraph = " ".join(paragraph.split())  # the manual has much indentation
        print(textwrap.fill(paragraph, 88, initial_indent="  ", subsequent_indent="  "))
        axes.plot(range(1, options.epochs + 1), perplexities, marker="o", label=cell.upper())
    axes.set(xlabel="epoch", ylabel="perplexity per character", title="Held-out part of the manual")
    axes.legend()
    figure.savefig(options.out)
    print(f"\ndrawn in {options.out}")


if __name__ == "__main__":
    main()
