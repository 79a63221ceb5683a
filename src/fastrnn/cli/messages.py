"""Warnings of one line."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from fastrnn.data import Vocabulary

_SHOWN = 10


def warn_of_unknown(vocabulary: Vocabulary, texts: Iterable[str], what: str) -> bool:
    """Name the tokens of texts that a model has never seen, if there are any; say whether."""
    unknown = vocabulary.unknown(texts)
    if unknown:
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        shown = " ".join(map(repr, unknown[:_SHOWN]))
        print(f"fastrnn: warning: the model has not seen in {what}: {shown}{more}", file=sys.stderr)
    return bool(unknown)
