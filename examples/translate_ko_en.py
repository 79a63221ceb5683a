"""Korean to English with attention, from a file of sentence pairs.

    python examples/translate_ko_en.py            # the pairs written for this repository
    python examples/translate_ko_en.py PAIRS.tsv  # your tab-separated file: two or three columns

The source is that of the first two columns that has Hangul, so the common public files of sentence
pairs, with English first and a licence last, can be used directly. Tokens are words in English and
characters in Korean, or with `--korean words` Korean words. The script prints the fraction of
held-out sentences that are translated exactly, and some translations. It draws the attention
weights; if no installed font has Hangul, with Latin letters instead.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from matplotlib.figure import Figure

from fastrnn import plot
from fastrnn.data import read_pairs, split
from fastrnn.models import Translator, evaluate
from fastrnn.training import Adam, CosineLR, Trainer

PAIRS = Path(__file__).with_name("korean_english.tsv")
BATCH_SIZE, BEAM_SIZE, MAX_LENGTH = 32, 5, 40
TOKENS = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")  # words, and each punctuation mark

# The letters of a syllable in the order of their code points, spelled one by one by the Revised
# Romanization (without the sound changes between syllables).
INITIALS = (
    "g", "kk", "n", "d", "tt", "r", "m", "b", "pp", "s", "ss", "", "j", "jj", "ch", "k", "t",
    "p", "h",
)  # fmt: skip
VOWELS = (
    "a", "ae", "ya", "yae", "eo", "e", "yeo", "ye", "o", "wa", "wae", "oe", "yo", "u", "wo",
    "we", "wi", "yu", "eu", "ui", "i",
)  # fmt: skip
FINALS = (
    "", "k", "k", "ks", "n", "nj", "nh", "t", "l", "lk", "lm", "lb", "ls", "lt", "lp", "lh", "m",
    "p", "ps", "t", "t", "ng", "t", "t", "k", "t", "p", "t",
)  # fmt: skip


def is_hangul(text: str) -> bool:
    return any("가" <= letter <= "힣" for letter in text)


def korean_and_english(path: Path) -> list[tuple[str, str]]:
    """The pairs of a file, Korean first, with the first translation of each sentence."""
    translations: dict[str, str] = {}
    try:
        pairs = read_pairs(path)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from None
    for pair in pairs:
        english, korean = sorted(pair, key=is_hangul)
        if is_hangul(english) == is_hangul(korean):
            raise SystemExit(f"{path}: want Hangul on one side, got {' and '.join(pair)}")
        translations.setdefault(korean.strip(), " ".join(TOKENS.findall(english)))
    return list(translations.items())


def sentence(tokens: str) -> str:
    """Remove the space before marks: `What is it ?` -> `What is it?`."""
    return re.sub(r" ([.,?!])", r"\1", tokens)


def romanized(text: str) -> str:
    """Hangul in Latin letters: a syllable's code point is computed from its letters."""
    letters = []
    for letter in text:
        if is_hangul(letter):
            rest, final = divmod(ord(letter) - ord("가"), len(FINALS))
            initial, vowel = divmod(rest, len(VOWELS))
            letter = INITIALS[initial] + VOWELS[vowel] + FINALS[final]
        letters.append(letter)
    return "".join(letters)


def make_translator(pairs: list[tuple[str, str]], korean: str, hidden: int) -> Translator:
    return Translator.from_pairs(
        pairs,
        64,
        hidden,
        source_level={"characters": "char", "words": "word"}[korean],
        target_level="word",
        cell="gru",
        attention="general",
        readout="tanh",
        bridge="tanh",
        bidirectional_encoder=True,
        dropout=0.5,
        label_smoothing=0.1,
        rng=0,
    )


def fit(
    translator: Translator,
    pairs: list[tuple[str, str]],
    held_out: list[tuple[str, str]],
    epochs: int,
) -> None:
    """Train and print the fraction of exact answers to the held-out sentences."""
    test = translator.batches(held_out, batch_size=BATCH_SIZE, shuffle=False)
    trainer = Trainer(translator.model, Adam(3e-3), max_grad_norm=1.0, schedule=CosineLR(epochs))
    history = trainer.fit(
        translator.batches(pairs, batch_size=BATCH_SIZE),
        epochs=epochs,
        validate=lambda model: {"exact": 100 * model.accuracy(test)},
    )
    exact, every = history.metric("exact"), max(1, epochs // 5)
    shares = ", ".join(f"{share:.1f}" for share in exact[every - 1 :: every])
    print(f"exact after each {every} epochs (%): {shares}")
    print(f"{epochs} epochs: {sum(history.seconds):.0f} s")


def show(translator: Translator, pairs: list[tuple[str, str]]) -> None:
    """Print translations and, for wrong ones, the target."""
    answers = translator([ko for ko, _ in pairs], beam_size=BEAM_SIZE, max_length=MAX_LENGTH)
    for (korean, english), answer in zip(pairs, answers, strict=True):
        verdict = "" if answer == english else f"   (should be: {sentence(english)})"
        print(f"  {korean}  ->  {sentence(answer)}{verdict}")


def draw(translator: Translator, texts: list[str], path: Path) -> None:
    """Draw the attention of up to four sentences."""
    has_hangul = not any(map(is_hangul, plot.fonts_for(texts).missing))
    if not has_hangul:
        print("no installed font has Hangul: drawn with Latin letters")
    figure = Figure(figsize=(14, 8), layout="constrained")
    for axes, text in zip(figure.subplots(2, 2).flat, texts, strict=False):
        seen = translator.attention(text, max_length=MAX_LENGTH)
        source = seen.source if has_hangul else list(map(romanized, seen.source))
        plot.attention(source, seen.target, seen.weights, axes)
        axes.tick_params("x", labelsize=13 if has_hangul else 9, rotation=0 if has_hangul else 45)
    figure.savefig(path)
    print(f"drawn in {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs", type=Path, nargs="?", default=PAIRS, help="a TSV file")
    parser.add_argument("--korean", choices=("characters", "words"), default="characters")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--quick", action="store_true", help="a minute part of the work")
    parser.add_argument("--out", type=Path, default=Path("translate_ko_en.png"))
    options = parser.parse_args()
    pairs = korean_and_english(options.pairs)
    if options.quick:
        pairs, options.epochs, options.hidden = pairs[::5], 2, 16
    train, held_out = split(pairs, 0.1)
    translator = make_translator(train, options.korean, options.hidden)
    print(f"{len(train)} sentences to learn from, {len(held_out)} held out; ", end="")
    print(f"{len(translator.source)} Korean {options.korean}, {len(translator.target)} words")
    fit(translator, train, held_out, options.epochs)
    for beam_size in (1, BEAM_SIZE):
        result = evaluate(translator, held_out, beam_size=beam_size, max_length=MAX_LENGTH)
        rates = 100 * result.exact_match, 100 * result.error_rate
        print("beam {}: exact {:.1f} %, words wrong {:.1f} %".format(beam_size, *rates))
    shown = held_out[:: max(1, len(held_out) // 12)]
    show(translator, shown)
    draw(translator, sorted((korean for korean, _ in shown), key=len)[-4:], options.out)


if __name__ == "__main__":
    main()
