"""Whether an object computes what its class of this package does, as files of it say."""

from __future__ import annotations

from typing import Any

from fastrnn._cells import Cell


def require_plain(function: str, argument: str, subject: Any, base: type[Any]) -> None:
    """Raise TypeError if a subclass or the object replaces methods of `base`, or its cell."""
    mro = type(subject).__mro__
    own = [name for cls in mro[: mro.index(base)] for name in vars(cls)]
    for name in (*vars(subject), *own):
        method = getattr(base, name, None)
        special = name.startswith("__") and name != "__call__"
        if not special and (callable(method) or isinstance(method, (property, Cell))):
            came = f"a subclass with its own {name}" if name in own else f"one with its own {name}"
            wanted = f"the {argument} must be a plain {base.__name__}"
            raise TypeError(f"{function}: {wanted}, got {came}")
