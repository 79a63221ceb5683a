"""Checks of the arguments of models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
    _require_compatible(**checked)
    if checked["tie_embeddings"]:
        _require_tieable(**checked)
    return checked


def _require_compatible(
    *,
    target_size: int,
    hidden_size: int,
    num_layers: int,
    decoder_layers: int,
    attention: str | None,
    num_heads: int,
    context: str,
    readout: str,
    readout_size: int | None,
    bridge: str | None,
    bidirectional_encoder: bool,
    hidden_only: bool,
    **others: Any,
) -> None:
    """Raise if one option contradicts another."""
    if target_size <= EOS:
        raise ValueError(f"{_OWNER}: target_size must be at least {EOS + 1}, got {target_size}")
    if bidirectional_encoder and hidden_size % 2:
        wanted = "even for a bidirectional encoder, which splits it in two"
        raise ValueError(f"{_OWNER}: hidden_size must be {wanted}, got {hidden_size}")
    if decoder_layers > num_layers:
        wanted = f"at most num_layers, {num_layers}"
        raise ValueError(f"{_OWNER}: decoder_layers must be {wanted}, got {decoder_layers}")
    for name, value, plain in (("context", context, "output"), ("readout", readout, "concat")):
        if value != plain and attention is None:
            raise ValueError(f"{_OWNER}: {name} {value!r} needs attention, got None")
    if num_heads != 1 and attention != "multi_head":
        raise ValueError(f"{_OWNER}: num_heads needs attention='multi_head', got {attention!r}")
    if readout_size is not None and readout != "tanh":
        raise ValueError(f"{_OWNER}: readout_size needs readout='tanh', got {readout!r}")
    if bridge is not None and hidden_only:
        raise ValueError(f"{_OWNER}: hidden_only needs bridge=None, got {bridge!r}")


def _require_tieable(
    *,
    embedding_size: int,
    hidden_size: int,
    attention: str | None,
    readout: str,
    readout_size: int | None,
    peeky: bool,
    **others: Any,
) -> None:
    """Raise if the sizes of embedding and classifier do not allow one matrix for both."""
    context_size = 0 if attention is None else hidden_size
    features = features_size(readout, context_size, hidden_size, readout_size or hidden_size)
    width = features + (hidden_size if peeky else 0)
    if embedding_size != width:
        wanted = f"embedding_size to be the width of the classifier's input, {width}"
        raise ValueError(f"{_OWNER}: tie_embeddings needs {wanted}, got {embedding_size}")
