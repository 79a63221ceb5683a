"""The demonstration: an attention model that rewrites dates, with the time of a step."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import fastrnn
from fastrnn.data import dates, split
from fastrnn.models import Seq2Seq, Translator
from fastrnn.models.base import Array
from fastrnn.models.serialization import check_writable, require_absent
from fastrnn.ops._backend import INSTALLED
from fastrnn.training import Adam, Optimizer, Trainer, clip_grad_norm

Pairs = Sequence[tuple[str, str]]

EMBEDDING_SIZE = 16
BATCH_SIZE = 128
LEARNING_RATE = 1e-3
MAX_GRAD_NORM = 5.0
ANSWERS_SHOWN = 12
# Seconds. After a product the threads of NumPy's BLAS spin for some hundredths of a second and
# would slow down the next timed step.
PAUSE = 0.1


def run(
    *,
    epochs: int,
    count: int,
    hidden_size: int,
    seed: int,
    rounds: int,
    out_dir: Path,
    overwrite: bool = False,
) -> None:
    """Train on the date task; print and write the results.

    Parameters
    ----------
    epochs : int
        Number of epochs.
    count : int
        Number of dates; a tenth is held out.
    hidden_size : int
        Size of the recurrent layers.
    seed : int
        Seed of the data, of the initial parameters and of the order of the batches.
    rounds : int
        Number of training steps timed on each backend.
    out_dir : Path
        Folder for the model and the picture; created if it is missing.
    overwrite : bool
        Whether files of their names may be replaced.

    Raises
    ------
    ValueError, OSError
        If a size is out of range, the folder cannot be written or a file is there.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    model_path, picture_path = out_dir / "dates.safetensors", out_dir / "attention.png"
    for path in (model_path, picture_path):
        check_writable(path)
        if not overwrite:
            require_absent(path, "--overwrite replaces it, --out-dir names another folder")
    train, held_out = split(dates(count, rng=seed), 0.1, seed=seed)
    translator = Translator.from_pairs(
        train,
        EMBEDDING_SIZE,
        hidden_size,
        cell="gru",
        attention="dot",
        bidirectional_encoder=True,
        rng=seed,
    )
    print(f"{len(train)} dates to learn from, {len(held_out)} held out", flush=True)
    accuracies = fit(translator, train, held_out, epochs=epochs, seed=seed)
    print("\nexact match on the held-out dates")
    for epoch, accuracy in enumerate(accuracies, start=1):
        print(f"  epoch {epoch}: {accuracy:8.2%}")
    show_answers(translator, held_out[:ANSWERS_SHOWN])
    compare_backends(translator, train, rounds=rounds, seed=seed)
    translator.save(model_path)
    print(f"\nmodel written to {model_path}; try: fastrnn translate {model_path} '8/3/14'")
    show_attention(translator, held_out[0][0], picture_path)


def fit(
    translator: Translator, train: Pairs, held_out: Pairs, *, epochs: int, seed: int
) -> list[float]:
    """Train and return the exact match after each epoch."""
    test_batches = translator.batches(held_out, batch_size=BATCH_SIZE, shuffle=False)
    trainer = Trainer(translator.model, Adam(LEARNING_RATE), max_grad_norm=MAX_GRAD_NORM)
    history = trainer.fit(
        translator.batches(train, batch_size=BATCH_SIZE, seed=seed),
        epochs=epochs,
        validate=lambda model: {"exact_match": model.accuracy(test_batches)},
    )
    return history.metric("exact_match")


def show_answers(translator: Translator, pairs: Pairs) -> None:
    """Print held-out inputs with the model's correct and wrong answers."""
    print("\nheld-out inputs and the model's answers")
    answers = translator([source for source, _ in pairs], max_length=20)
    for (source, target), answer in zip(pairs, answers, strict=True):
        verdict = "right" if answer == target else f"wrong, should be {target}"
        print(f"  {source:32} {answer:12} {verdict}")


def compare_backends(translator: Translator, pairs: Pairs, *, rounds: int, seed: int) -> None:
    """Time training steps of an untrained copy on both backends, from the same weights."""
    config = translator.model.config()
    steps = {
        name: partial(training_step, name, Seq2Seq(**config, rng=seed), Adam(LEARNING_RATE))
        for name in INSTALLED
    }
    batch = next(translator.batches(pairs, batch_size=BATCH_SIZE, seed=seed).epoch(0))
    source, _, target = batch
    print(f"\none training step from new weights: source {source.shape}, target {target.shape}")
    print("  step" + "".join(f"{name:>12} {'loss':>10}" for name in INSTALLED))
    for step in steps.values():
        step(batch)  # allocations and cold caches are not measured
    seconds: dict[str, list[float]] = {name: [] for name in INSTALLED}
    for number in range(1, rounds + 1):
        line = f"  {number:4}"
        for name, step in steps.items():
            time.sleep(PAUSE)
            start = time.perf_counter()
            loss = step(batch)
            seconds[name].append(time.perf_counter() - start)
            line += f"{seconds[name][-1] * 1e3:9.1f} ms {loss:10.6f}"
        print(line, flush=True)
    *compiled, reference = (statistics.median(seconds[name]) for name in INSTALLED)
    if not compiled:
        print(f"  median: NumPy reference {reference * 1e3:.1f} ms; the kernels are not installed")
        return
    print(
        f"  median: compiled {compiled[0] * 1e3:.1f} ms, NumPy reference {reference * 1e3:.1f} ms, "
        f"ratio reference / compiled {reference / compiled[0]:.1f}"
    )


def training_step(
    backend: str, model: Seq2Seq, optimizer: Optimizer, batch: Iterable[Array]
) -> float:
    """Train on one batch and return the loss before the update."""
    with fastrnn.backend(backend):
        loss = model.loss(*batch)
        model.backward()
        grads = model.grads
        clip_grad_norm(grads, MAX_GRAD_NORM)
        optimizer.update(model.params, grads)
    return loss


def show_attention(translator: Translator, text: str, path: Path) -> None:
    """Write the attention weights of an answer as a picture, or print them without matplotlib."""
    attention = translator.attention(text, max_length=20)
    try:
        from fastrnn.plot import save_attention
    except ImportError:
        print(f"attention for {text!r} (a picture needs matplotlib: pip install 'fastrnn[plot]')\n")
        print(attention.to_text())
    else:
        save_attention(*attention, path)
        print(f"attention for {text!r} drawn in {path}")
