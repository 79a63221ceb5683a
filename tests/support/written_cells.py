"""Cells written in the language, for tests of both backends: those of the library, and others that
use every word between them."""

from __future__ import annotations

from typing import Any

from fastrnn import cell
from fastrnn._cells import Cell
from fastrnn.cell.library import NAMES, named


@cell.define(gates="i f g o", states="h c")
def written_lstm(a: Any, s: Any, w: Any) -> dict[str, Any]:
    c = cell.sigmoid(a.f) * s.c + cell.sigmoid(a.i) * cell.tanh(a.g)
    return {"h": cell.sigmoid(a.o) * cell.tanh(c), "c": c}


@cell.define(gates="r z n", states="h", weights="bias_hn")
def written_gru(a: Any, s: Any, w: Any) -> dict[str, Any]:
    r, z = cell.sigmoid(a.r), cell.sigmoid(a.z)
    n = cell.tanh(a.x.n + r * (a.h.n + w.bias_hn))
    return {"h": n + z * (s.h - n)}


@cell.define(gates="r z n", states="h")
def reset_before(a: Any, s: Any, w: Any) -> dict[str, Any]:
    r, z = cell.sigmoid(a.r), cell.sigmoid(a.z)
    n = cell.tanh(a.x.n + cell.matmul(r * s.h, "Un"))
    return {"h": (1 - z) * n + z * s.h}


@cell.define(gates="n z", states="h k", weights="u")
def every_word(a: Any, s: Any, w: Any) -> dict[str, Any]:
    v = cell.tanh(a.n)
    u = cell.matmul(cell.elu(v) + cell.mean(v * v), "U")
    q = cell.layer_norm(u * cell.hard_sigmoid(a.z), 0.7, w.u)
    k = 0.5 * s.k + cell.softsign(q) / (1 + cell.abs(a.z)) - cell.minimum(u, cell.relu(v))
    inner = cell.clip(s.h * cell.leaky_relu(u), -1.1, 0.9)
    h = cell.where(q > s.h, cell.softplus(q) - 1, inner)
    return {"h": h + 0.1 * cell.log(1.5 + cell.sqrt(1 + u * u)), "k": k}


@cell.define(gates="n", states="h c")
def deep_projection(a: Any, s: Any, w: Any) -> dict[str, Any]:
    c = cell.layer_norm(a.n + 0.5 * s.c)
    h = cell.tanh(cell.project(cell.maximum(c, -0.5), "Wp") + 0.25 * s.h)
    return {"h": h, "c": cell.exp(-c * c)}


PROGRAMS: dict[str, Cell] = {
    defined.name: defined
    for defined in (written_lstm, written_gru, reset_before, every_word, deep_projection)
} | {name: named(name) for name in NAMES}
