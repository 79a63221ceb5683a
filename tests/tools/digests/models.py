"""The models: loss, all gradients, generation, files."""

from __future__ import annotations

import tempfile
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import fastrnn
from digests.maps import SCORES
from digests.record import Array, Cases, Draw, copies, joined
from fastrnn.models import LanguageModel, Seq2Seq

CELLS = ("rnn", "lstm", "gru")
CONTEXTS = ("output", "input_feeding", "input")
BRIDGES = (None, "linear", "tanh")
READOUTS = ("concat", "tanh")
DROPPED = {"dropout": 0.3, "embedding_dropout": 0.1, "recurrent_dropout": 0.2}
LANGUAGE: dict[str, dict[str, Any]] = {
    "plain": {},
    "layers": {"num_layers": 3, "residual": True},
    "dropped": {"num_layers": 2, **DROPPED},
    "tied": {"tie_weights": True, "embedding_size": 17, "label_smoothing": 0.1},
}
SEQ2SEQ: dict[str, dict[str, Any]] = {
    "layers": {"num_layers": 3, "decoder_layers": 2, "residual": True, "bridge": "tanh"},
    "dropped": {"num_layers": 2, **DROPPED},
    "dropped_attention": {
        "num_layers": 2,
        "attention": "general",
        "context": "input_feeding",
        **DROPPED,
    },
    "peeky": {"peeky": True, "reverse_source": True, "label_smoothing": 0.1},
    "peeky_attention": {"peeky": True, "attention": "additive", "context": "input"},
    "hidden_only": {"hidden_only": True, "num_layers": 2},
    "two_ways": {"bidirectional_encoder": True, "num_layers": 2, "bridge": "linear"},
    "two_ways_reverse": {
        "bidirectional_encoder": True,
        "attention": "dot",
        "reverse_source": True,
    },
    "tied": {
        "tie_embeddings": True,
        "attention": "dot",
        "readout": "tanh",
        "readout_size": 9,
        "embedding_size": 9,
    },
    "sampled": {"sampling_rate": 0.4, "attention": "general"},
    "sampled_feeding": {
        "sampling_rate": 0.7,
        "attention": "multi_head",
        "num_heads": 3,
        "context": "input_feeding",
        "peeky": True,
    },
}


def cases() -> Cases:
    for cell, (name, options) in product(CELLS, LANGUAGE.items()):
        yield f"language/{cell}/{name}", partial(_language, options={"cell": cell, **options})
    for cell, V in product(CELLS, (45, 800)):
        options = {"cell": cell, "num_layers": 2, "embedding_size": 40, "hidden_size": 90}
        run = partial(_language, options=options, V=V, N=16, T=25)
        yield f"language/{cell}/large/{V}", run
    for cell, (name, options) in product(CELLS, SEQ2SEQ.items()):
        yield f"seq2seq/{cell}/{name}", partial(_seq2seq, options={"cell": cell, **options})
    for index, (cell, bridge) in enumerate(product(CELLS, BRIDGES)):
        options = {"cell": cell, "bridge": bridge, "num_layers": 1 + index % 2}
        yield f"seq2seq/{cell}/without/{bridge}", partial(_seq2seq, options=options)
    for index, (cell, score, context) in enumerate(product(CELLS, SCORES, CONTEXTS)):
        readout = READOUTS[index % 2]
        options = {"cell": cell, "attention": score, "context": context, "readout": readout}
        options |= {"num_heads": 2} if score == "multi_head" else {}
        yield f"seq2seq/{cell}/{score}/{context}/{readout}", partial(_seq2seq, options=options)
    for cell, context in product(CELLS, CONTEXTS):
        options = {"cell": cell, "attention": "general", "context": context, "hidden_size": 80}
        options |= {"readout": "tanh", "embedding_size": 30, "num_layers": 2}
        run = partial(_seq2seq, options=options, V=200, N=24, T=14)
        yield f"seq2seq/{cell}/large/{context}", run


class _Batches:
    """The same batches in every epoch."""

    def __init__(self, *batches: Any) -> None:
        self.batches = batches

    def epoch(self, epoch: int) -> Any:
        return iter(self.batches)


def _scored(model: Any, *batches: Any) -> Any:
    """Loss, accuracy and number of tokens."""
    scores = model.token_scores(_Batches(*batches))
    return scores.loss, scores.accuracy, scores.tokens


def _language(draw: Draw, options: dict[str, Any], V: int = 23, N: int = 5, T: int = 8) -> Any:
    options = {"embedding_size": 11, "hidden_size": 17, **options}
    model = draw.params_of(LanguageModel(V, dtype=draw.dtype, rng=3, **options))
    losses = []
    for _ in range(2):  # the second from the state of the first
        losses.append(model.loss(draw.ids(V, N, T), draw.ids(V, N, T)))
        model.backward()
        losses.append(copies(model.grads))
    buffers = copies(model.buffers)
    model.eval()
    batch = draw.ids(V, N, T), draw.ids(V, N, T)
    sample = partial(model.sample, draw.ids(V, 4), 20)
    ways = [{"seed": 1}, {"seed": 2, "top_k": 4, "temperature": 0.8}, {"seed": 3, "top_p": 0.7}]
    texts = [sample(**way) for way in [*ways, {"temperature": 0, "exclude": [1, 2]}]]
    evaluated = model.loss(*batch), _scored(model, batch, batch)
    model.load_buffers(buffers)
    evaluated += (model.loss(*batch),)
    model.freeze()
    frozen = [model.loss(*batch), sample(seed=1)]
    again = _read_again(model.unfreeze())
    return losses, buffers, evaluated, texts, frozen, again.loss(*batch)


def _seq2seq(draw: Draw, options: dict[str, Any], V: int = 13, N: int = 6, T: int = 7) -> Any:
    options = {"embedding_size": 8, "hidden_size": 18, **options}
    model = draw.params_of(Seq2Seq(V, V - 2, dtype=draw.dtype, rng=3, **options))
    batch = source, lengths, _ = _pairs(draw, V - 2, N, T)
    losses = []
    for each in (batch, (source, None, draw.ids(V - 2, N, 5) % (V - 5) + 3)):
        losses.append(model.loss(*each))
        model.backward()
        losses.append(copies(model.grads))
    model.eval()
    results = {"train": losses, "eval": [model.loss(*batch), _scored(model, batch, batch)]}
    results |= _generated(model, source, lengths)
    model.freeze()
    results["frozen"] = [model.loss(*batch), model.generate(source, lengths, max_length=9)]
    results["file"] = _read_again(model.unfreeze()).generate(source, max_length=9)
    return results


def _pairs(draw: Draw, V: int, N: int, T: int) -> tuple[Array, Array, Array]:
    """Sources and targets of different lengths, padded with 0."""
    source, target = draw.ids(V - 3, N, T) + 3, draw.ids(V - 3, N, T + 1) + 3
    lengths, ends = draw.lengths(N, T), draw.lengths(N, T)
    source[np.arange(T) >= lengths[:, None]] = 0
    target[np.arange(N), ends] = 2
    target[np.arange(T + 1) > ends[:, None]] = 0
    return source, lengths, target


def _generated(model: Seq2Seq, source: Array, lengths: Array) -> dict[str, Any]:
    attends = model.config()["attention"] is not None
    shown = {"max_length": 9, "return_attention": attends}
    seeds = np.arange(len(source)) * 37 + 5
    sample = partial(model.sample, source, lengths, max_length=9)
    search = partial(model.beam_search, source, lengths, **shown)
    return {
        "greedy": model.generate(source, lengths, **shown),
        "sampled": [sample(seed=seeds, top_k=5), sample(seed=2, temperature=0.6, top_p=0.9)],
        "beams": [
            joined(search(beam_size=4, n_best=3)),
            joined(search(beam_size=3, length_penalty=0.6, coverage_penalty=0.2 * attends)),
        ],
    }


def _read_again(model: Any) -> Any:
    """The model through a file, in eval mode."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        fastrnn.save(model, path)
        return fastrnn.load(path).eval()
