"""Checks of the arguments of models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any, TypeAlias

from fastrnn import _check as check
from fastrnn.cell.files import to_dict
from fastrnn.data import EOS
from fastrnn.layers.any_cell import cell_of
from fastrnn.layers.recurrent import check_residual
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


def _cell(owner: str, name: str, value: Any) -> Any:
    """Return the name of a cell of ours, or a defined cell as data."""
    cell = cell_of(owner, value)
    if cell.projection is not None:
        raise ValueError(f"{owner}: cell must not project h, got {cell.title}")
    return value if isinstance(value, str) or cell.program is None else to_dict(cell)


_SIZES = (
    "vocab_size source_size target_size embedding_size hidden_size num_layers decoder_layers "
    "num_heads readout_size"
)
_SWITCHES = (
    "peeky reverse_source bidirectional_encoder hidden_only residual tie_embeddings tie_weights"
)
_PROBABILITIES = "dropout embedding_dropout recurrent_dropout label_smoothing"
_CHECKS: dict[str, Check] = {
    **dict.fromkeys(_SIZES.split(), check.size),
    **dict.fromkeys(_SWITCHES.split(), _switch),
    **dict.fromkeys(_PROBABILITIES.split(), check.probability),
    "cell": _cell,
    "attention": _one_of(SCORES),
    "context": _one_of(CONTEXTS),
    "readout": _one_of(READOUTS),
    "bridge": _one_of(BRIDGES),
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
    check_residual(owner, checked["residual"], checked["num_layers"])
    return checked


def checked_options(**options: Any) -> dict[str, Any]:
    """Check the arguments of a `Seq2Seq` and return them as JSON values."""
    checked = checked_one_by_one(_OWNER, options)
    check_heads(_OWNER, "multi_head", checked["num_heads"], checked["hidden_size"])
    if problem := _contradiction(checked):
        raise ValueError(f"{_OWNER}: {problem}")
    return checked


def _contradiction(options: Mapping[str, Any]) -> str | None:
    """Return what is wrong if one option contradicts another."""
    o = SimpleNamespace(**options)
    if o.target_size <= EOS:
        return f"target_size must be at least {EOS + 1}, got {o.target_size}"
    if o.bidirectional_encoder and o.hidden_size % 2:
        wanted = "even for a bidirectional encoder, which splits it in two"
        return f"hidden_size must be {wanted}, got {o.hidden_size}"
    if o.decoder_layers > o.num_layers:
        return f"decoder_layers must be at most num_layers, {o.num_layers}, got {o.decoder_layers}"
    for name, plain in (("context", "output"), ("readout", "concat")):
        if options[name] != plain and o.attention is None:
            return f"{name} {options[name]!r} needs attention, got None"
    if o.num_heads != 1 and o.attention != "multi_head":
        return f"num_heads needs attention='multi_head', got {o.attention!r}"
    if o.readout_size is not None and o.readout != "tanh":
        return f"readout_size needs readout='tanh', got {o.readout!r}"
    if o.bridge is not None and o.hidden_only:
        return f"hidden_only needs bridge=None, got {o.bridge!r}"
    width = features_size(options) + (o.hidden_size if o.peeky else 0)
    if o.tie_embeddings and o.embedding_size != width:
        wanted = f"embedding_size to be the width of the classifier's input, {width}"
        return f"tie_embeddings needs {wanted}, got {o.embedding_size}"
    return None
