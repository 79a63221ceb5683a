"""Checks of the arguments of Seq2Seq."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastrnn import _check as check
from fastrnn.data import EOS
from fastrnn.models.base import CELLS
from fastrnn.models.bridge import BRIDGES
from fastrnn.models.readout import READOUTS, features_size
from fastrnn.ops.attention import SCORES, check_heads
from fastrnn.ops.decoding import CONTEXTS

_OWNER = "Seq2Seq"
_SIZES = ("source_size", "target_size", "embedding_size", "hidden_size", "num_layers")
_SIZES_OR_NONE = ("decoder_layers", "readout_size")
_CHOICES: dict[str, Iterable[str]] = {"cell": CELLS, "context": CONTEXTS, "readout": READOUTS}
_CHOICES_OR_NONE: dict[str, Iterable[str]] = {"attention": SCORES, "bridge": BRIDGES}
_PROBABILITIES = ("dropout", "embedding_dropout", "recurrent_dropout", "label_smoothing")
_SWITCHES = (
    "peeky",
    "reverse_source",
    "bidirectional_encoder",
    "hidden_only",
    "residual",
    "tie_embeddings",
)


def checked_options(**options: Any) -> dict[str, Any]:
    """Check the constructor's arguments and return them as JSON values."""
    checked = dict(options)
    for name, default in (("decoder_layers", "num_layers"), ("embedding_dropout", "dropout")):
        if checked[name] is None:
            checked[name] = checked[default]
    for name in (*_SIZES, *_SIZES_OR_NONE):
        if checked[name] is not None or name in _SIZES:
            checked[name] = check.size(_OWNER, name, checked[name])
    for name, known in (_CHOICES | _CHOICES_OR_NONE).items():
        if checked[name] is not None or name in _CHOICES:
            checked[name] = check.option(_OWNER, name, checked[name], known)
    for name in _PROBABILITIES:
        checked[name] = check.probability(_OWNER, name, checked[name])
    for name in _SWITCHES:
        checked[name] = bool(checked[name])
    checked["sampling_rate"] = check.rate(_OWNER, "sampling_rate", checked["sampling_rate"])
    checked["dtype"] = check.dtype(_OWNER, checked["dtype"]).name
    heads, H = checked["num_heads"], checked["hidden_size"]
    checked["num_heads"] = check_heads(_OWNER, "multi_head", heads, H)
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
