"""One-line warnings on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from fastrnn.data import Vocabulary

_SHOWN = 10


def warn_of_unknown(vocabulary: Vocabulary, texts: Iterable[str], what: str) -> bool:
    """Warn of tokens that the vocabulary lacks; return whether there are any."""
    unknown = vocabulary.unknown(texts)
    if unknown:
        _warn(f"the model has not seen in {what}", unknown)
    return bool(unknown)


def warn_of_missing(letters: Iterable[str]) -> None:
    """Warn of letters that no installed font has, if there are any."""
    if missing := sorted(letters):
        _warn("no installed font has", missing)


def _warn(what: str, tokens: Sequence[str]) -> None:
    more = f" and {len(tokens) - _SHOWN} more" if len(tokens) > _SHOWN else ""
    shown = " ".join(map(repr, tokens[:_SHOWN]))
    print(f"fastrnn: warning: {what}: {shown}{more}", file=sys.stderr)
