"""Text of a file or of a caller, made fit for a message."""

from __future__ import annotations

_LONGEST = 500


def printable(value: object) -> str:
    """Return `str(value)` as one line of printable characters: others escaped, a long text cut."""
    try:
        text = str(value)
    except RecursionError:
        return f"a deeply nested {type(value).__name__}"
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown
    )
