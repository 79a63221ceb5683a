"""Text of a file or of a caller, made fit for a message."""

from __future__ import annotations

_LONGEST = 500


def escaped(text: str) -> str:
    """Return the text with all but its printable characters escaped, new lines too."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def printable(value: object) -> str:
    """Return `str(value)` escaped, and cut if it is long."""
    try:
        text = str(value)
    except RecursionError:
        return f"a deeply nested {type(value).__name__}"
    return escaped(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")
