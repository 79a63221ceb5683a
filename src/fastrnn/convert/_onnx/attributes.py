"""The operator and the attributes of a recurrent layer: the inverse of `operators.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn._cells import CELLS
from fastrnn.convert import cells
from fastrnn.convert._onnx import activations
from fastrnn.convert._onnx.operators import OPERATORS
from fastrnn.convert.recognition import variant_of
from fastrnn.convert.variants import Variant
from fastrnn.layers.recurrent import RecurrentLayer


def operator_of(layer: RecurrentLayer) -> tuple[str, dict[str, Any]]:
    """Return the operator of a recurrent layer with its attributes, or raise TypeError."""
    attributes: dict[str, Any] = {
        "hidden_size": layer.hidden_size,
        "direction": "bidirectional" if layer.bidirectional else "forward",
    }
    base, reset_after = layer.cell, cells.splits_bias(layer)
    if base.program is None:
        options = _own(layer)
    else:
        variant = variant_of(base, activations.candidates)
        if variant is None or not activations.fits(variant.limit):
            known = ", ".join(OPERATORS)
            raise TypeError(f"to_onnx: ONNX's {known} cannot compute the cell {base.title}")
        base, reset_after = CELLS[variant.name], variant.reset_after
        options = _of_variant(variant, layer.directions)
    if "reset_after" in base.options:
        attributes["linear_before_reset"] = int(reset_after)
    return base.title, attributes | options


def _own(layer: RecurrentLayer) -> dict[str, Any]:
    """Return the attributes for the options of a built-in cell."""
    for names, options in layer.cell.activations.items():
        if options and options == layer.options:
            return {"activations": [*names] * layer.directions}
    return {}


def _of_variant(variant: Variant, directions: int) -> dict[str, Any]:
    """Return the attributes for the options of a variant, as those of a built-in cell if it can."""
    written = activations.attributes(variant.activations * directions)
    for names, options in CELLS[variant.name].activations.items():
        if not options and written == {"activations": [*names] * directions}:
            written = {}
    if variant.limit is not None:
        written["clip"] = float(np.float32(variant.limit))
    return written | ({"input_forget": 1} if variant.coupled else {})
