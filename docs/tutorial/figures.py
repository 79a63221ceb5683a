"""Draws the tutorial's figures into docs/tutorial/figures.

    python docs/tutorial/figures.py              # all, as SVG
    python docs/tutorial/figures.py --png /tmp   # as PNG, to look at

Curves that an example measured come from results.json, where they were written down with the
machine and the date; nothing is trained here.
"""

from __future__ import annotations

import argparse
import json
import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
from drawing import BLUE, GREEN, INK, ORANGE, PURPLE, plot, sketch
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.patches import Rectangle

from fastrnn.plot import fonts_for

HERE = Path(__file__).parent
EXAMPLES = HERE.parent.parent / "examples"
RESULTS = json.loads((HERE / "results.json").read_text(encoding="utf-8"))


def unrolled(path: Path) -> None:
    """An RNN as a loop, and the same unrolled over time."""
    with sketch(path, 8.4, 2.5) as s:
        s.box(1.0, 1.25, "RNN", BLUE)
        s.arrow((1.0, 0.45), (1.0, 0.97))
        s.arrow((1.0, 1.52), (1.0, 2.1))
        s.dot(1.0, 1.75)
        s.arrow((1.0, 1.75), (1.75, 1.75), (1.75, 1.25), (1.4, 1.25), color=BLUE)
        s.text(1.0, 0.27, "$x_t$")
        s.text(1.0, 2.28, "$h_t$")
        s.text(2.25, 1.25, "=", size=16)
        steps = [(3.5, "1"), (5.0, "2"), (6.5, "3")]
        s.text(2.72, 1.25, "$h_0$")
        s.arrow((2.9, 1.25), (3.1, 1.25), color=BLUE)
        for x, t in steps:
            s.box(x, 1.25, "RNN", BLUE)
            s.arrow((x, 0.45), (x, 0.97))
            s.arrow((x, 1.52), (x, 2.1))
            s.arrow((x + 0.38, 1.25), (x + 1.1, 1.25), color=BLUE)
            s.text(x, 0.27, f"$x_{t}$")
            s.text(x, 2.28, f"$h_{t}$")
            s.text(x + 0.22, 0.72, r"$W_x$", size=8)
            s.text(x + 0.72, 1.42, r"$W_h$", size=8)
        s.text(7.85, 1.25, r"$\cdots$", size=14)


def gradients(path: Path) -> None:
    """What is left of the gradient of the state, step by step backwards (example 02)."""
    example = runpy.run_path(str(EXAMPLES / "02_vanishing_gradients.py"))
    steps, size, rows = 100, example["SIZE"], example["BATCH_SIZE"]
    x = 0.1 * np.random.default_rng(2).standard_normal((rows, steps, size))
    double = {"dtype": np.float64, "rng": 0}
    layers = {
        "RNN, singular values 0.9": example["rnn_with_singular_values"](0.9),
        "RNN, singular values 1.5": example["rnn_with_singular_values"](1.5),
        "LSTM, forget gate open": example["with_open_gate"](example["LSTM"](size, size, **double)),
        "GRU, update gate open": example["with_open_gate"](example["GRU"](size, size, **double)),
    }
    with plot(path, 7, 3.6) as (axes,):
        for name, layer in layers.items():
            axes.semilogy(example["norms_back_in_time"](layer, x), label=name)
        axes.set(xlabel="steps back in time", ylabel="norm of the gradient of the state")
        axes.grid(axis="y")
        axes.legend(loc="lower left")


def lstm_cell(path: Path) -> None:
    """The four gates, and c on its straight way."""
    with sketch(path, 8.4, 4.0) as s:
        s.room(1.2, 0.35, 6.0, 3.3)
        s.text(0.35, 3.25, "$c_{t-1}$")
        s.text(0.35, 0.7, "$h_{t-1}$")
        s.text(1.75, 0.0 + 0.12, "$x_t$")
        s.text(8.1, 3.25, "$c_t$")
        s.text(8.1, 0.7, "$h_t$")
        s.arrow((0.62, 3.25), (2.2, 3.25), color=ORANGE)
        s.arrow((2.5, 3.25), (4.0, 3.25), color=ORANGE)
        s.arrow((4.34, 3.25), (7.85, 3.25), color=ORANGE)
        s.arrow((0.62, 0.7), (6.0, 0.7), (6.0, 1.2))
        s.arrow((1.75, 0.28), (1.75, 0.7), head=False)
        s.dot(1.75, 0.7)
        gates = {2.35: ("f", BLUE), 3.5: ("i", BLUE), 4.85: ("g", GREEN), 6.0: ("o", BLUE)}
        for x, (name, color) in gates.items():
            kind = r"$\tanh$" if name == "g" else r"$\sigma$"
            s.box(x, 1.47, kind, color)
            s.text(x + 0.16, 1.92, f"${name}$")
            if x < 6.0:
                s.dot(x, 0.7)
                s.arrow((x, 0.7), (x, 1.2))
        s.gate(2.35, 3.25, "×")
        s.gate(4.17, 3.25, "+")
        s.gate(4.17, 2.35, "×")
        s.arrow((2.35, 1.75), (2.35, 3.07))
        s.arrow((3.5, 1.75), (3.5, 2.35), (4.0, 2.35))
        s.arrow((4.85, 1.75), (4.85, 2.35), (4.34, 2.35))
        s.arrow((4.17, 2.52), (4.17, 3.07))
        s.dot(6.75, 3.25, ORANGE)
        s.arrow((6.75, 3.25), (6.75, 2.5), color=ORANGE)
        s.box(6.75, 2.83, r"$\tanh$", GREEN, height=0.4)
        s.gate(6.75, 2.33, "×")
        s.arrow((6.0, 1.75), (6.0, 2.33), (6.58, 2.33))
        s.arrow((6.75, 2.16), (6.75, 0.7), (7.85, 0.7))


def gates(path: Path) -> None:
    """A gate's curve, and what a forget gate of a constant opening leaves over time."""
    with plot(path, 8.4, 3.0, 2) as (left, right):
        a = np.linspace(-6, 6, 100)
        left.plot(a, 1 / (1 + np.exp(-a)), label=r"$\sigma(a)$: how far a gate is open")
        left.plot(a, np.tanh(a), label=r"$\tanh(a)$: what is written")
        left.set(xlabel="$a$")
        left.grid()
        left.legend(loc="upper left", fontsize=8)
        left.set_ylim(-1.1, 1.75)
        steps = np.array([0, 100])
        for bias in (4, 2, 1, 0):
            kept = (1 / (1 + np.exp(-bias))) ** steps
            right.semilogy(steps, kept, label=f"{bias}")
        right.set(xlabel="steps", ylabel=r"$f^{\,t}$: what is left", ylim=(1e-6, 2))
        right.grid(axis="y")
        right.legend(title="bias of the forget gate", fontsize=8, title_fontsize=8, ncols=2)


def encoder_decoder(path: Path) -> None:
    """Two recurrent networks with one vector between them."""
    with sketch(path, 8.4, 3.0) as s:
        s.room(0.35, 0.75, 3.1, 1.15)
        s.room(4.35, 0.75, 3.7, 1.15)
        s.text(1.9, 2.8, "encoder", color=BLUE, weight="bold")
        s.text(6.2, 2.8, "decoder", color=ORANGE, weight="bold")
        s.text(3.9, 1.62, "$h_S$", color=BLUE)
        for x, token in zip((0.8, 1.9, 3.0), ("5", "+", "7"), strict=True):
            s.box(x, 1.3, "RNN", BLUE)
            s.text(x, 0.27, token)
            s.arrow((x, 0.42), (x, 1.02))
            s.arrow((x + 0.38, 1.3), (x + (0.72 if x < 3 else 1.42), 1.3), color=BLUE)
        words = (("<bos>", "1"), ("1", "2"), ("2", "<eos>"))
        for x, (given, said) in zip((4.8, 6.1, 7.4), words, strict=True):
            s.box(x, 1.3, "RNN", ORANGE)
            s.text(x, 0.27, given)
            s.text(x, 2.4, said, weight="bold")
            s.arrow((x, 0.42), (x, 1.02))
            s.arrow((x, 1.57), (x, 2.25))
            if x < 7:
                s.arrow((x + 0.38, 1.3), (x + 0.92, 1.3), color=ORANGE)
                s.arrow((x + 0.12, 2.4), (x + 0.65, 2.4), (x + 0.65, 0.27), (x + 1.18, 0.27))


def beam(path: Path) -> None:
    """Greedy search and a beam of two; the probabilities are made up."""
    with sketch(path, 8.4, 3.0) as s:
        s.box(0.9, 1.5, "<bos>", INK)
        for y, word, chance, color in ((2.3, "A", "0.6", BLUE), (0.7, "B", "0.4", ORANGE)):
            s.box(3.2, y, word, color)
            s.arrow((1.28, 1.5), (2.82, y), color=color)
            s.text(2.05, 1.5 + 0.72 * (y - 1.5), chance, size=9)
        ends = (
            (2.3, 2.7, "C", "0.55", "0.33", BLUE),
            (2.3, 1.9, "D", "0.45", "0.27", INK),
            (0.7, 1.1, "E", "0.9", "0.36", ORANGE),
            (0.7, 0.3, "F", "0.1", "0.04", INK),
        )
        for start, y, word, chance, total, color in ends:
            s.box(5.5, y, word, color, height=0.44)
            s.arrow((3.58, start), (5.12, y), color=color)
            s.text(4.35, start + 0.5 * (y - start) + 0.14 * np.sign(y - start), chance, size=9)
            s.text(6.25, y, total)
        s.text(7.3, 2.7, "greedy", color=BLUE)
        s.text(7.3, 1.1, "a beam of two", color=ORANGE)


def gru_cell(path: Path) -> None:
    """Two gates and one state; h on its straight way."""
    with sketch(path, 8.4, 4.0) as s:
        s.room(1.2, 0.3, 6.0, 3.35)
        s.text(0.35, 3.25, "$h_{t-1}$")
        s.text(8.1, 3.25, "$h_t$")
        s.text(0.35, 0.5, "$x_t$")
        s.arrow((0.62, 3.25), (2.17, 3.25), color=ORANGE)
        s.arrow((2.52, 3.25), (6.23, 3.25), color=ORANGE)
        s.arrow((6.57, 3.25), (7.85, 3.25), color=ORANGE)
        s.dot(1.45, 3.25, ORANGE)
        s.arrow((1.45, 3.25), (1.45, 0.95), (4.75, 0.95), (4.75, 1.3), color=ORANGE)
        s.arrow((0.62, 0.5), (6.55, 0.5), (6.55, 1.2))
        for x, name in ((2.35, "z"), (3.75, "r")):
            s.box(x, 1.47, r"$\sigma$", BLUE)
            s.dot(x - 0.15, 0.95, ORANGE)
            s.arrow((x - 0.15, 0.95), (x - 0.15, 1.2), color=ORANGE)
            s.dot(x + 0.15, 0.5)
            s.arrow((x + 0.15, 0.5), (x + 0.15, 1.2))
            s.text(x + (0.16 if name == "z" else 0.52), 1.92 if name == "z" else 1.62, f"${name}$")
        s.gate(4.75, 1.47, "×")
        s.arrow((4.12, 1.47), (4.58, 1.47))
        s.arrow((4.92, 1.47), (6.0, 1.47), color=ORANGE)
        s.box(6.4, 1.47, r"$\tanh$", GREEN)
        s.text(6.56, 1.92, "$n$")
        s.gate(2.35, 3.25, "×")
        s.gate(6.4, 3.25, "+")
        s.gate(6.4, 2.4, "×")
        s.arrow((2.35, 1.75), (2.35, 3.07))
        s.dot(2.35, 2.4)
        s.arrow((2.35, 2.4), (3.82, 2.4))
        s.box(4.2, 2.4, "$1 - z$", PURPLE)
        s.arrow((4.57, 2.4), (6.22, 2.4))
        s.arrow((6.4, 1.75), (6.4, 2.22))
        s.arrow((6.4, 2.57), (6.4, 3.07))


def attention(path: Path) -> None:
    """One step of a decoder that looks at every state of the encoder."""
    weights = (0.08, 0.12, 0.7, 0.1)
    with sketch(path, 8.4, 3.7) as s:
        s.text(2.1, 0.2, "encoder", color=BLUE, weight="bold")
        s.text(6.6, 0.2, "decoder", color=ORANGE, weight="bold")
        for x, weight, name in zip((0.6, 1.6, 2.6, 3.6), weights, "1234", strict=True):
            s.box(x, 0.8, f"$m_{name}$", BLUE)
            if x < 3.6:
                s.arrow((x + 0.38, 0.8), (x + 0.62, 0.8), color=BLUE)
            s.axes.bar(x, weight, 0.34, bottom=1.72, color=PURPLE, zorder=3)
            s.text(x, 1.58, f"{weight:.2f}", size=8)
            s.arrow((x, 1.08), (x, 1.46))
        s.arrow((0.35, 1.72), (3.85, 1.72), head=False)
        s.arrow((0.42, 2.42), (0.42, 2.58), (3.78, 2.58), (3.78, 2.42), color=PURPLE, head=False)
        s.text(1.3, 2.78, "softmax(score)", color=PURPLE, size=9)
        s.gate(4.9, 2.9, "Σ")
        s.arrow((2.1, 2.58), (2.1, 2.9), (4.72, 2.9), color=PURPLE)
        s.text(4.45, 3.14, "context $c_t$", size=9, ha="left")
        s.arrow((5.07, 2.9), (6.12, 2.9))
        for x, name in ((5.5, "{t-1}"), (6.6, "t")):
            s.box(x, 0.8, f"$h_{name}$", ORANGE)
        s.arrow((5.88, 0.8), (6.22, 0.8), color=ORANGE)
        s.arrow((6.98, 0.8), (7.6, 0.8), color=ORANGE)
        s.text(7.85, 0.8, r"$\cdots$", size=14)
        s.arrow((6.6, 1.07), (6.6, 2.62), color=ORANGE)
        s.dot(6.6, 1.9, ORANGE)
        s.arrow((6.6, 1.9), (3.95, 1.9), color=ORANGE)
        s.text(5.3, 2.05, "query", size=9, color=ORANGE)
        s.box(6.6, 2.9, "$[c_t;\\, h_t]$", PURPLE, width=0.9)
        s.arrow((7.05, 2.9), (7.6, 2.9))
        s.text(7.95, 2.9, "word")


def curves(names: tuple[str, ...], key: str, ylabel: str) -> Callable[[Path], None]:
    """A drawing of what an example measured after each epoch."""

    def draw(path: Path) -> None:
        with plot(path, 6.4, 3.2) as (axes,):
            for name in names:
                values = RESULTS[key][name]
                axes.plot(range(1, len(values) + 1), values, marker="o", ms=3, label=name)
            axes.set(xlabel="epoch", ylabel=ylabel)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(axis="y")
            axes.legend()

    return draw


def weights(key: str) -> Callable[[Path], None]:
    """A drawing of the attention that an example measured."""

    def draw(path: Path) -> None:
        seen = RESULTS[key]
        matrix = np.array(seen["weights"])
        rows, columns = matrix.shape
        shades = LinearSegmentedColormap.from_list("", [(*to_rgb(PURPLE), 0), PURPLE])
        with plot(path, 1.2 + 0.36 * columns, 0.9 + 0.36 * rows) as (axes,):
            axes.add_patch(Rectangle((-0.5, -0.5), columns, rows, color=INK, alpha=0.13, lw=0))
            axes.imshow(matrix, cmap=shades, vmin=0, vmax=1, aspect="auto", zorder=1)
            families, missing = fonts_for(seen["source"])
            if missing:
                raise SystemExit(f"figures: no installed font has {' '.join(sorted(missing))}")
            axes.set_xticks(range(columns), seen["source"])
            axes.set_yticks(range(rows), seen["target"])
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
            if len(families) > 1:  # not Latin letters alone
                for label in axes.get_xticklabels():
                    label.set(family=families, size=12)

    return draw


FIGURES: dict[str, Callable[[Path], None]] = {
    "rnn-unrolled": unrolled,
    "gradients": gradients,
    "perplexity": curves(("RNN", "LSTM", "GRU"), "perplexity", "perplexity per character"),
    "lstm-cell": lstm_cell,
    "gates": gates,
    "encoder-decoder": encoder_decoder,
    "beam": beam,
    "addition": curves(("plain", "reversed", "reversed, peeky"), "addition", "exact answers (%)"),
    "gru-cell": gru_cell,
    "attention": attention,
    "dates": curves(("plain", "peeky", "attention"), "dates", "exact answers (%)"),
    "dates-attention": weights("dates_attention"),
    "korean-attention": weights("korean_attention"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; all, if none is named")
    parser.add_argument("--png", type=Path, metavar="FOLDER", help="PNGs to look at, in FOLDER")
    options = parser.parse_args()
    for name in options.names or FIGURES:
        suffix = ".svg" if options.png is None else ".png"
        folder = options.png or HERE / "figures"
        FIGURES[name]((folder / name).with_suffix(suffix))


if __name__ == "__main__":
    main()
