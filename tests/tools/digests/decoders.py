"""Decoders of `fastrnn.ops`: attention inside the recurrence, and decoding."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import numpy as np

from digests.cells import cell_weights, states_of
from digests.maps import SCORES, score_weights
from digests.record import Array, Cases, Draw, call, joined
from fastrnn import ops

VARIANTS = ("rnn_tanh", "lstm", "gru_after", "gru_before")
CONTEXTS = ("input_feeding", "input")
MOST = {"V": 40, "E": 9, "H": 24, "M": 20, "P": 6, "N": 9, "S": 9}  # the sizes are below these


def cases() -> Cases:
    for variant, score, context, copy in product(VARIANTS, SCORES, CONTEXTS, range(2)):
        run = partial(_attention_decoder, variant=variant, score=score, context=context)
        yield f"attention/{variant}/{score}/{context}/{copy}", run
    for variant, context in product(VARIANTS, CONTEXTS):
        run = partial(
            _attention_decoder, variant=variant, score="additive", context=context, large=True
        )
        yield f"attention/{variant}/{context}/large", run
    for variant, score in product(VARIANTS, SCORES):
        for context in (*CONTEXTS, "output"):
            yield (
                f"decoding/{variant}/{score}/{context}",
                partial(_decoding, variant=variant, score=score, context=context),
            )
        yield (
            f"decoding/{variant}/without/{score}",
            partial(_decoding, variant=variant, score=score, context=None),
        )
    for variant, context in product(VARIANTS, (*CONTEXTS, None)):
        run = partial(_decoding, variant=variant, score="general", context=context, large=True)
        yield f"decoding/{variant}/{context}/large", run


def _attention_decoder(
    draw: Draw, variant: str, score: str, context: str, large: bool = False
) -> Any:
    """A decoder of random sizes and options; both are those of the case's name."""
    rng = draw.rng
    N, T, S, E, H, M, A = (int(rng.integers(1, most)) for most in (9, 8, 9, 12, 24, 20, 9))
    if large:
        N, T, S, E, H, M, A = 24, 12, 17, 30, 90, 70, 50
    M = H if score in ("dot", "scaled_dot") else M
    layers, heads = int(rng.integers(1, 4)), 2 if score == "multi_head" else 1
    readout = (draw.weights(M + H, E + 1), draw.weights(E + 1)) if draw.coin() else None
    F = M + H if readout is None else E + 1
    fed = draw.normal(N, F) if context == "input_feeding" else None
    width = E + (M if fed is None else F)
    cells = [cell_weights(draw, variant, H if k else width, H) for k in range(layers)]
    states = states_of(draw, variant, layers, N, H)
    weights = score_weights(draw, score, H, M, M, heads * A)
    rows = 2 + int(rng.integers(N * T + 2))
    looked_up = draw.coin()
    options = {
        "cell": variant.partition("_")[0],
        "score": score,
        "num_heads": heads,
        "context": context,
        "lengths": draw.lengths(N, S) if draw.coin() else None,
        "steps": draw.lengths(N, T) if draw.coin() else None,
        "embedding": draw.normal(rows, E) if looked_up else None,
        "residual": draw.coin(),
        "drops": draw.drop(layers - 1, N, T, H) if draw.coin() else None,
        "drop_h": draw.drop(layers, N, H) if draw.coin() else None,
    }
    x = draw.ids(rows, N, T) if looked_up else draw.normal(N, T, E)
    arguments = (x, fed, states, draw.normal(N, S, M), cells, weights, readout)
    *results, stash = ops.attention_decoder_forward(*arguments, **options)
    upstream = [None if array is None else draw.like(array) for array in results]
    return {
        "inference": ops.attention_decoder(*arguments, **options),
        "forward": results,
        "backward": ops.attention_decoder_backward(*upstream, stash),
        "features_alone": ops.attention_decoder_backward(
            upstream[0], None, None, [None] * len(states), stash
        ),
    }


def _decoder(
    draw: Draw, variant: str, score: str, context: str | None, size: dict[str, int]
) -> tuple[Any, ops.DecoderWeights]:
    """Options of a decoder, and the decoder, of random layers and readout."""
    V, E, H, M, P = (size[name] for name in "VEHMP")
    layers, heads = int(draw.rng.integers(1, 4)), 2 if score == "multi_head" else 1
    readout = None
    if context is not None and draw.coin():
        readout = (draw.weights(M + H, E + 2), draw.weights(E + 2))
    F = H if context is None else M + H if readout is None else E + 2
    width = E + P + {"input_feeding": F, "input": M}.get(context or "", 0)
    attended = {} if context is None else {"score": score, "num_heads": heads}
    decoder = call(
        ops.DecoderWeights,
        embedding=draw.normal(V, E),
        cell=variant.partition("_")[0],
        cells=[cell_weights(draw, variant, H if k else width, H) for k in range(layers)],
        output=(draw.weights(F + P, V) * 3, draw.weights(V)),
        context=context,
        weights=() if context is None else score_weights(draw, score, H, M, M, 6 * heads),
        readout=readout,
        residual=draw.coin(),
        **attended,
    )
    return layers, decoder


def _decoding(
    draw: Draw, variant: str, score: str, context: str | None, large: bool = False
) -> Any:
    """All ways to decode, by a decoder of random sizes."""
    rng = draw.rng
    size = {name: int(rng.integers(3, most)) for name, most in MOST.items()}
    if large:
        size = {"V": 300, "E": 30, "H": 96, "M": 70, "P": 5, "N": 12, "S": 13}
    if score in ("dot", "scaled_dot"):
        size["M"] = size["H"]
    if draw.coin():
        size["P"] = 0
    N, S, V, H = (size[name] for name in "NSVH")
    layers, decoder = _decoder(draw, variant, score, context, size)
    states = states_of(draw, variant, layers, N, H)
    given: dict[str, Any] = {"max_length": 12, "start": draw.ids(V, N)}
    given["constant"] = draw.normal(N, size["P"]) if size["P"] else None
    if context is not None:
        given |= {"memory": draw.normal(N, S, size["M"]), "return_attention": True}
        given["lengths"] = draw.lengths(N, S) if draw.coin() else None
    exclude = rng.random(V) < 0.2
    exclude[:3] = False
    forced = {"forced": draw.ids(V, N, 12), "use_forced": rng.random((N, 12)) < 0.4}
    run = partial(call, **given)
    return {
        "greedy": run(ops.decode_greedy, decoder, states),
        "greedy_no_end": run(ops.decode_greedy, decoder, states, end=None, exclude=exclude),
        "forced": run(ops.decode_greedy, decoder, states, **forced),
        "sampled": _sampled(run, decoder, states, draw.ids(2**40, N)),
        "beams": _searched(run, decoder, states, exclude, attends=context is not None),
    }


def _sampled(run: Any, decoder: Any, states: list[Array], seeds: Array) -> Any:
    sample = partial(run, ops.decode_sample, decoder, states)
    return [
        sample(seed=5),
        sample(seed=seeds, temperature=0.7, top_k=4),
        sample(seed=seeds, temperature=1.5, top_p=0.8, end=None),
        sample(seed=3, temperature=0.0),
    ]


def _searched(run: Any, decoder: Any, states: list[Array], exclude: Array, attends: bool) -> Any:
    search = partial(run, ops.decode_beam, decoder, states)
    penalties = {"length_penalty": 0.8, "coverage_penalty": 0.3 * attends}
    found = [
        search(beam_size=1),
        search(beam_size=3, n_best=3),
        search(beam_size=5, n_best=2, exclude=exclude, **penalties),
        search(beam_size=12, n_best=4, end=int(np.argmin(exclude))),
    ]
    return [joined(hypotheses) for hypotheses in found]
