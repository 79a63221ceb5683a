"""A LanguageModel with its vocabulary: text in, text out, one file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastrnn import _check as check
from fastrnn.data import EOS, UNK, StreamBatches, Vocabulary
from fastrnn.models.base import Array
from fastrnn.models.language_model import LanguageModel
from fastrnn.models.scores import TokenScores
from fastrnn.models.serialization import Path, load_as, save


class TextModel:
    """A trained language model that continues and scores texts.

    With words as tokens, the end of a line is a token, too: the end mark.

    Parameters
    ----------
    model : LanguageModel
        A model of the ids of the vocabulary.
    vocabulary : Vocabulary

    Raises
    ------
    ValueError
        If the vocabulary does not have the model's size.
    """

    def __init__(self, model: LanguageModel, vocabulary: Vocabulary) -> None:
        if len(vocabulary) != model.vocab_size:
            wanted = f"{model.vocab_size} tokens"
            raise ValueError(f"TextModel: vocabulary must have {wanted}, got {len(vocabulary)}")
        self.model = model
        self.vocabulary = vocabulary

    @classmethod
    def from_text(
        cls,
        text: str,
        embedding_size: int,
        hidden_size: int,
        *,
        level: str = "char",
        min_count: int = 1,
        **options: Any,
    ) -> TextModel:
        """Build the vocabulary of a text and an untrained model of its size.

        Parameters
        ----------
        text : str
        embedding_size, hidden_size, **options
            As for `LanguageModel`.
        level : {"char", "word"}
            Kind of tokens.
        min_count : int
            Less frequent tokens become the unknown token.

        Raises
        ------
        ValueError
            If the text is empty, or an option is out of range.
        """
        if not check.text("TextModel", "text", text).strip():
            raise ValueError("TextModel: text must not be empty")
        vocabulary = Vocabulary.from_texts([text], level=level, min_count=min_count)
        model = LanguageModel(len(vocabulary), embedding_size, hidden_size, **options)
        return cls(model, vocabulary)

    def encode(self, text: str) -> Array:
        """Return the ids of a text, (T,)."""
        check.text("TextModel", "text", text)
        if self.vocabulary.level == "char":
            return self.vocabulary.encode(text)
        # A text that ends within a line has no end mark there.
        *lines, rest = text.split("\n")
        ended = [self.vocabulary.encode(line, eos=True) for line in lines]
        return np.concatenate([*ended, self.vocabulary.encode(rest)])

    def decode(self, ids: Array) -> str:
        """Return the text of ids (T,)."""
        lines = np.split(ids, np.flatnonzero(ids == EOS) + 1)
        return "\n".join(self.vocabulary.decode(line) for line in lines)

    def batches(self, text: str, **options: Any) -> StreamBatches:
        """Encode a text into batches for the model; `options` are those of `StreamBatches`."""
        return StreamBatches(self.encode(text), **options)

    def in_order(self, text: str) -> StreamBatches:
        """Encode a text into batches of one stream, with all tokens but the first as targets.

        Raises
        ------
        ValueError
            If the text has fewer than two tokens.
        """
        ids = self.encode(text)
        if len(ids) < 2:
            raise ValueError(f"TextModel: text must have at least 2 tokens, got {text!r}")
        return StreamBatches(ids, batch_size=1, num_steps=256)

    def evaluate(self, text: str) -> TokenScores:
        """Score each token of a text but the first, given the tokens before it.

        Raises
        ------
        ValueError
            If the text has fewer than two tokens.
        """
        return self.model.token_scores(self.in_order(text))

    def sample(self, length: int, *, start: str = "\n", **options: Any) -> str:
        """Return a continuation of a text.

        Parameters
        ----------
        length : int
            Number of tokens to draw.
        start : str
            Text to continue, not returned; the default is a new line.
        **options
            `temperature`, `top_k`, `top_p` and `seed` of `LanguageModel.sample`.

        Raises
        ------
        ValueError
            If `start` has no token, or an option is out of range.
        """
        ids = self._start(start)
        return self.decode(self.model.sample(ids, length, exclude=self._unwritable(), **options))

    def stream(self, length: int, *, start: str = "\n", **options: Any) -> Iterator[str]:
        """Yield a continuation of a text in pieces, which together are that of `sample`.

        Parameters
        ----------
        length, start, **options
            As for `sample`; `LanguageModel.stream` says what a piece is.

        Yields
        ------
        str

        Raises
        ------
        ValueError
            As for `sample`.
        """
        ids = self._start(start)
        return self._texts(self.model.stream(ids, length, exclude=self._unwritable(), **options))

    def _texts(self, pieces: Iterator[Array]) -> Iterator[str]:
        """Yield the text of each piece, with what separates it from the one before."""
        last = next(pieces)
        yield self.decode(last)
        for tokens in pieces:
            before = last[-1:]
            last = np.concatenate([before, tokens])
            yield self.decode(last).removeprefix(self.decode(before))

    def _start(self, start: str) -> Array:
        """Return the ids of a text to continue."""
        ids = self.encode(check.text("TextModel", "start", start))
        if not len(ids):
            raise ValueError(f"TextModel: start must have a token, got {start!r}")
        return ids

    def _unwritable(self) -> list[int]:
        """Return the tokens that no text has."""
        lines_end = self.vocabulary.level == "word"
        return [i for i in range(UNK + 1) if not (i == EOS and lines_end)]

    def save(self, path: Path) -> None:
        """Write the model and its vocabulary to one safetensors file."""
        save(self.model, path, extra={"vocabulary": self.vocabulary.to_dict()})

    @classmethod
    def load(cls, path: Path) -> TextModel:
        """Return the model in a file written by `save`, in eval mode.

        Raises
        ------
        OSError, ValueError
            As for `fastrnn.load`; ValueError also for another model, or without a vocabulary.
        """
        return load_as(
            path,
            LanguageModel,
            lambda model, extra: cls(model, Vocabulary.from_dict(extra["vocabulary"])),
        )
