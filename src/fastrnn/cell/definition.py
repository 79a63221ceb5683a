"""`define`, which makes a cell of a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastrnn._cells import Cell
from fastrnn.cell.assemble import Declared, assembled
from fastrnn.cell.trace import Trace, traced


def define(
    *,
    gates: str | Sequence[str],
    states: str | Sequence[str] = "h",
    weights: str | Sequence[str] = (),
    open_gates: str | Sequence[str] = (),
    initial: Mapping[str, float] | None = None,
    title: str | None = None,
) -> Callable[[Callable[[Any, Any, Any], Mapping[str, Any]]], Cell]:
    """Make a cell of the function that follows.

    The function is called once, with symbols: ``a.f`` is the sum of a gate, ``x Wx + h Wh + b``, of
    which ``a.x.f`` is ``x Wx + b`` and ``a.h.f`` is ``h Wh``; ``s.c`` is a state before the step,
    ``w.p`` a weight of one number a hidden unit. It returns a dict of the new states.

    Parameters
    ----------
    gates, states, weights : str or sequence of str
        Names, in a string separated by spaces. Gates lie side by side in Wx, Wh and b in this
        order; the first state is h.
    open_gates : str or sequence of str
        The gates whose bias is 1 at first; all others are 0.
    initial : mapping of str to float, optional
        What weights of one number a hidden unit are at first; all others are 0.
    title : str, optional
        The name in messages; the default is that of the function.

    Returns
    -------
    callable
        A decorator that returns the cell.

    Raises
    ------
    ValueError, TypeError, AttributeError
        If the function does what a cell cannot do; one line that begins with its name.
    """

    def decorate(function: Callable[[Any, Any, Any], Mapping[str, Any]]) -> Cell:
        name = getattr(function, "__name__", None)
        if not callable(function) or name is None:
            came = type(function).__name__
            raise TypeError(f"cell.define: what follows must be a function, got {came}")
        if title is not None and not isinstance(title, str):
            raise TypeError(f"{name}: title must be a string, got {type(title).__name__}")
        if initial is not None and not isinstance(initial, Mapping):
            came = type(initial).__name__
            raise TypeError(f"{name}: initial must be a mapping, got {came}")
        declared = Declared(
            name=name,
            title=name if title is None else title,
            gates=_names(name, "gates", gates),
            states=_names(name, "states", states),
            vectors=_names(name, "weights", weights),
            open_gates=_names(name, "open_gates", open_gates),
        )
        trace = Trace(name)
        numbers = {key: trace.number(key, value) for key, value in (initial or {}).items()}
        declared = Declared(**{**declared.__dict__, "initial": numbers})
        declared.check()
        new = traced(trace, function, declared.gates, declared.states, declared.vectors)
        return assembled(declared, trace.graph.nodes, new, trace.projection)

    return decorate


def _names(owner: str, argument: str, names: str | Sequence[str]) -> tuple[str, ...]:
    """Return names that came in one string or in several."""
    split = names.split() if isinstance(names, str) else names
    if not isinstance(split, (list, tuple)) or not all(isinstance(name, str) for name in split):
        wanted = "a string of names or a sequence of them"
        raise TypeError(f"{owner}: {argument} must be {wanted}, got {type(names).__name__}")
    return tuple(split)
