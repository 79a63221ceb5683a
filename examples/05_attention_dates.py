"""Dates in many formats -> ISO 8601, with attention.

The script prints the fraction of exact answers to held-out dates after each epoch, with and without
attention. It draws these curves, and the attention weights of one date in each of five formats.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from matplotlib.figure import Figure

from fastrnn import plot
from fastrnn.data import dates, split
from fastrnn.models import Translator
from fastrnn.training import Adam, Trainer

BATCH_SIZE = 128
SHOWN = (
    "September 27, 1994",
    "TUE 27 SEP 1994",
    "27th of september 1994",
    "9/27/94",
    "27.09.1994",
)


def train_on(pairs, held_out, *, epochs: int, hidden: int, **options) -> tuple[Translator, list]:
    """A translator, and its fraction of exact answers after each epoch (%)."""
    translator = Translator.from_pairs(
        pairs, 16, hidden, cell="gru", bidirectional_encoder=True, rng=0, **options
    )
    test = translator.batches(held_out, batch_size=BATCH_SIZE, shuffle=False)
    history = Trainer(translator.model, Adam(1e-3), max_grad_norm=5.0).fit(
        translator.batches(pairs, batch_size=BATCH_SIZE),
        epochs=epochs,
        validate=lambda model: {"exact": model.accuracy(test)},
    )
    return translator, [100 * share for share in history.metric("exact")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--quick", action="store_true", help="a minute part of the work")
    parser.add_argument("--out", type=Path, default=Path("05_attention_dates.png"))
    options = parser.parse_args()
    count = 50_000
    if options.quick:
        count, options.epochs, options.hidden = 1_000, 1, 16
    pairs, held_out = split(dates(count), 0.1)

    figure = Figure(figsize=(16, 9), layout="constrained")
    curves, *panels = figure.subplots(2, 3).flat
    # The last translator, with attention, is drawn.
    for name, variant in (
        ("plain", {}),
        ("peeky", {"peeky": True}),
        ("attention", {"attention": "dot"}),
    ):
        translator, exact = train_on(
            pairs, held_out, epochs=options.epochs, hidden=options.hidden, **variant
        )
        print(f"{name:10} exact (%): {' '.join(f'{percent:.1f}' for percent in exact)}", flush=True)
        curves.plot(range(1, len(exact) + 1), exact, marker="o", label=name)
    curves.set(xlabel="epoch", ylabel="exact answers (%)", xticks=range(1, options.epochs + 1))
    curves.legend()
    for panel, text in zip(panels, SHOWN, strict=True):
        attention = translator.attention(text, max_length=20)
        print(f"  {text:24} -> {''.join(attention.target)}")
        plot.attention(*attention, panel)
    figure.savefig(options.out)
    print(f"drawn in {options.out}")


if __name__ == "__main__":
    main()
