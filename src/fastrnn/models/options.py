"""Checks of the arguments of models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any, TypeAlias

from fastrnn import _check as check
from fastrnn._cells import CELLS
from fastrnn.data import EOS
from fastrnn.models.bridge import BRIDGES
from fastrnn.models.readout import READOUTS, features_size
from fastrnn.ops.attention import SCORES, check_heads
from fastrnn.ops.decoding import CONTEXTS

_OWNER = "Seq2Seq"

Check: TypeAlias = Callable[[str, str, Any], Any]


def _one_of(known: Iterable[str]) -> Check:
    return lambda owner, name, value: check.option(owner, name, value, known)


def _switch(owner: str, name: str, value: Any) -> bool:
    return bool(value)


def _dtype(owner: str, name: str, value: Any) -> str:
    return check.dtype(owner, value).name


_CHECKS: dict[str, Check] = {
    "vocab_size": check.size,
    "source_size": check.size,
    "target_size": check.size,
    "embedding_size": check.size,
    "hidden_size": check.size,
    "cell": _one_of(CELLS),
    "num_layers": check.size,
    "decoder_layers": check.size,
    "attention": _one_of(SCORES),
    "num_heads": check.size,
    "context": _one_of(CONTEXTS),
    "readout": _one_of(READOUTS),
    "readout_size": check.size,
    "bridge": _one_of(BRIDGES),
    "peeky": _switch,
    "reverse_source": _switch,
    "bidirectional_encoder": _switch,
    "hidden_only": _switch,
    "dropout": check.probability,
    "embedding_dropout": check.probability,
    "recurrent_dropout": check.probability,
    "residual": _switch,
    "tie_embeddings": _switch,
    "tie_weights": _switch,
    "label_smoothing": check.probability,
    "sampling_rate": check.rate,
    "dtype": _dtype,
}
_MAY_BE_NONE = ("attention", "readout_size", "bridge")
_DEFAULTS = {"decoder_layers": "num_layers", "embedding_dropout": "dropout"}


def arguments_of(scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a model's constructor from its ``locals()``."""
    others = ("self", "rng", "__class__")
    return {name: value for name, value in scope.items() if name not in others}


def checked_one_by_one(owner: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Check each argument by itself and return all as JSON values."""
    checked = {}
    for name, value in options.items():
        if value is None:
            value = options.get(_DEFAULTS.get(name, ""))
        may_stay = value is None and name in _MAY_BE_NONE
        checked[name] = None if may_stay else _CHECKS[name](owner, name, value)
    return checked


def checked_options(**options: Any) -> dict[str, Any]:
    """Check the arguments of a `Seq2Seq` and return them as JSON values."""
    checked = checked_one_by_one(_OWNER, options)
    check_heads(_OWNER, "multi_head", checked["num_heads"], checked["hidden_size"])
    for is_wrong, message in _contradictions(checked):
        if is_wrong:
            raise ValueError(f"{_OWNER}: {message}")
    return checked


def _contradictions(options: Mapping[str, Any]) -> list[tuple[bool, str]]:
    """Return whether options contradict each other, with the message for it."""
    o = SimpleNamespace(**options)
    half = "even for a bidirectional encoder, which splits it in two"
    width = features_size(options) + (o.hidden_size if o.peeky else 0)
    tied = f"embedding_size to be the width of the classifier's input, {width}"
    attends = o.attention is not None
    return [
        (o.target_size <= EOS, f"target_size must be at least {EOS + 1}, got {o.target_size}"),
        (
            o.bidirectional_encoder and o.hidden_size % 2 == 1,
            f"hidden_size must be {half}, got {o.hidden_size}",
        ),
        (
            o.decoder_layers > o.num_layers,
            f"decoder_layers must be at most num_layers, {o.num_layers}, got {o.decoder_layers}",
        ),
        (
            o.context != "output" and not attends,
            f"context {o.context!r} needs attention, got None",
        ),
        (
            o.readout != "concat" and not attends,
            f"readout {o.readout!r} needs attention, got None",
        ),
        (
            o.num_heads != 1 and o.attention != "multi_head",
            f"num_heads needs attention='multi_head', got {o.attention!r}",
        ),
        (
            o.readout_size is not None and o.readout != "tanh",
            f"readout_size needs readout='tanh', got {o.readout!r}",
        ),
        (
            o.bridge is not None and o.hidden_only,
            f"hidden_only needs bridge=None, got {o.bridge!r}",
        ),
        (
            o.tie_embeddings and o.embedding_size != width,
            f"tie_embeddings needs {tied}, got {o.embedding_size}",
        ),
    ]
