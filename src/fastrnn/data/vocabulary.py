"""Vocabularies: tokens to ids and back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn import _check as check
from fastrnn.data.lines import normalized

PAD, BOS, EOS, UNK = range(4)
_SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")
_SPACE = r"[^\S\x00-\x7f]"
_WORD_OR_SPACE = re.compile(rf"\S+|{_SPACE}")
_AROUND_A_SPACE = re.compile(f" ?({_SPACE}) ?")


class Vocabulary:
    """A numbered list of characters or words; ids 0 to 3 are pad, bos, eos and unknown.

    Text is normalized to Unicode form C, so that a letter with an accent or a Hangul syllable has
    the same ids however it was typed. Case is kept. Words are separated by white space. A space
    that is not ASCII (no-break, ideographic, thin) is a token, too, if the vocabulary has it, so
    that a text keeps it. Words that look like the special tokens are unknown words, so a text
    cannot contain padding.

    Parameters
    ----------
    tokens : iterable of str
        Different tokens without the special ones; the first has id 4.
    level : {"char", "word"}
    normalize : bool
        Whether text is normalized; False in files of older versions, which did not.

    Raises
    ------
    ValueError
        If the level is unknown, a token occurs twice, or no text can contain a token (empty, more
        than one character, white space in a word, not normalized, or special).
    """

    def __init__(
        self, tokens: Iterable[str], *, level: str = "char", normalize: bool = True
    ) -> None:
        check.option("Vocabulary", "level", level, ("char", "word"))
        self.level = level
        self.normalize = bool(normalize)
        self.tokens = (*_SPECIALS, *tokens)
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self._ids) < len(self.tokens):
            token = Counter(self.tokens).most_common(1)[0][0]
            raise ValueError(f"Vocabulary: token {token!r} is there twice")
        for token in self.tokens[len(_SPECIALS) :]:
            if self.split(token) != [token]:
                raise ValueError(f"Vocabulary: {token!r} is not one {level}")
        for token in _SPECIALS:
            del self._ids[token]

    @classmethod
    def from_texts(
        cls, texts: Iterable[str], *, level: str = "char", min_count: int = 1
    ) -> Vocabulary:
        """Build the vocabulary of the tokens that occur at least `min_count` times in `texts`.

        They are sorted by falling count, then by code points. The texts are read once and not
        kept.
        """
        check.option("Vocabulary", "level", level, ("char", "word"))
        if isinstance(texts, str):
            raise TypeError("Vocabulary: texts must be several strings, got one; put it in a list")
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(tokens_of(normalized(text), level))
        kept = [t for t, n in counts.items() if n >= min_count and t not in _SPECIALS]
        return cls(sorted(kept, key=lambda token: (-counts[token], token)), level=level)

    def split(self, text: str) -> list[str]:
        """Return the tokens of a text, known or unknown."""
        known = normalized(text)  # also where it is not used, as it checks what came
        tokens = tokens_of(known if self.normalize else text, self.level)
        if self.level == "char":
            return tokens
        return [token for token in tokens if token in self._ids or not token.isspace()]

    def unknown(self, texts: Iterable[str]) -> list[str]:
        """Return the tokens of the texts that the vocabulary lacks, each once."""
        tokens = dict.fromkeys(token for text in texts for token in self.split(text))
        return [token for token in tokens if token not in self._ids]

    def encode(self, text: str, *, eos: bool = False) -> NDArray[np.int64]:
        """Return the ids (T,) of a text's tokens; with `eos` the end mark is appended."""
        ids = [self._ids.get(token, UNK) for token in self.split(text)]
        return np.array(ids + [EOS] * eos, dtype=np.int64)

    def decode(self, ids: Sequence[int] | NDArray[Any]) -> str:
        """Return the text of ids (T,) up to the first eos, without pad and bos.

        The unknown token becomes U+FFFD as a character and ``<unk>`` as a word.

        Raises
        ------
        ValueError
            If the ids are not one-dimensional, or an id is not in the vocabulary.
        TypeError
            If the ids are not integers.
        """
        tokens = []
        for i in check.integers("Vocabulary", "ids", ids, ("T",)).tolist():
            if not 0 <= i < len(self.tokens):
                raise ValueError(f"Vocabulary: id {i} is not in 0..{len(self.tokens) - 1}")
            if i == EOS:
                break
            if i == UNK and self.level == "char":
                tokens.append("\ufffd")
            elif i not in (PAD, BOS):
                tokens.append(self.tokens[i])
        if self.level == "char":
            return "".join(tokens)
        return _AROUND_A_SPACE.sub(r"\1", " ".join(tokens))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values for `from_dict`."""
        tokens = list(self.tokens[len(_SPECIALS) :])
        return {"level": self.level, "normalize": self.normalize, "tokens": tokens}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Vocabulary:
        """Build the vocabulary that `to_dict` described."""
        return cls(data["tokens"], level=data["level"], normalize=data.get("normalize", False))

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._ids

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"<Vocabulary of {len(self)} {self.level}s>"

    @property
    def _key(self) -> tuple[str, bool, tuple[str, ...]]:
        return self.level, self.normalize, self.tokens


def tokens_of(text: str, level: str) -> list[str]:
    """Return the characters of a text, or its words and each space that is not ASCII."""
    if level == "char":
        return list(text)
    return text.split() if text.isascii() else _WORD_OR_SPACE.findall(text)
