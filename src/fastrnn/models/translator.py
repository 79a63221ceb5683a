"""A Seq2Seq with its two vocabularies: text in, text out, one file."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastrnn import _check as check
from fastrnn._renamed import renamed, warn
from fastrnn.data import PairBatches, TextPairBatches, Vocabulary, pad
from fastrnn.models.base import Array
from fastrnn.models.generation import Hypothesis
from fastrnn.models.seq2seq import Seq2Seq
from fastrnn.models.serialization import Path, load_as, save
from fastrnn.models.token_attention import TokenAttention

MAX_SOURCE_LENGTH = 1000


class Translation(NamedTuple):
    """A translation and its score.

    Attributes
    ----------
    text : str
    score : float
        Score by which translations are ranked; see `fastrnn.ops.decode_beam`.
    log_probability : float
        Natural logarithm of the probability.
    attention : TokenAttention or None
        The attention weights.
    """

    text: str
    score: float
    log_probability: float
    attention: TokenAttention | None

    @property
    def alignment(self) -> TokenAttention | None:
        """The old name of ``attention``."""
        warn("Translation: alignment is now called attention")
        return self.attention


class Translator:
    """A trained model that translates texts.

    Parameters
    ----------
    model : Seq2Seq
        A model of the ids of the two vocabularies.
    source, target : Vocabulary
        Vocabularies of the sources and the targets.
    max_source_length : int
        Maximum number of tokens of a source; a longer one is an error.

    Raises
    ------
    ValueError
        If a vocabulary does not have the model's size.
    """

    def __init__(
        self,
        model: Seq2Seq,
        source: Vocabulary,
        target: Vocabulary,
        *,
        max_source_length: int = MAX_SOURCE_LENGTH,
    ) -> None:
        given = {"source": (source, model.source_size), "target": (target, model.target_size)}
        for name, (vocabulary, size) in given.items():
            if len(vocabulary) != size:
                wanted = f"{size} tokens"
                raise ValueError(f"Translator: {name} must have {wanted}, got {len(vocabulary)}")
        self.model = model
        self.source = source
        self.target = target
        self.max_source_length = check.size("Translator", "max_source_length", max_source_length)

    @classmethod
    def from_pairs(
        cls,
        pairs: Sequence[tuple[str, str]],
        embedding_size: int,
        hidden_size: int,
        *,
        level: str = "char",
        source_level: str | None = None,
        target_level: str | None = None,
        min_count: int = 1,
        max_source_length: int = MAX_SOURCE_LENGTH,
        **options: Any,
    ) -> Translator:
        """Build vocabularies from (source, target) pairs and an untrained model of their sizes.

        Parameters
        ----------
        pairs : sequence of (str, str)
            Read twice, after an iterator has been made a list; may be a `fastrnn.data.PairFile`.
        embedding_size, hidden_size, **options
            As for `Seq2Seq`.
        level : {"char", "word"}
            Kind of tokens in both languages.
        source_level, target_level : {"char", "word"}, optional
            Kind of tokens in one language.
        min_count : int
            Less frequent tokens become the unknown token.
        max_source_length
            As for the class.

        Raises
        ------
        ValueError
            If there are no pairs, or an option is out of range.
        """
        pairs = check.items("Translator", "pairs", pairs)
        if not pairs:
            raise ValueError("Translator: pairs must hold at least one pair, got none")
        source, target = (
            Vocabulary.from_texts((pair[k] for pair in pairs), level=own, min_count=min_count)
            for k, own in enumerate((source_level or level, target_level or level))
        )
        model = Seq2Seq(len(source), len(target), embedding_size, hidden_size, **options)
        return cls(model, source, target, max_source_length=max_source_length)

    def batches(
        self, pairs: Sequence[tuple[str, str]], *, stream: bool = False, **options: Any
    ) -> PairBatches | TextPairBatches:
        """Encode pairs into batches for the model.

        Parameters
        ----------
        pairs : sequence of (str, str)
        stream : bool
            Encode each batch when it is used, for pairs that do not fit in memory.
        **options
            Options of `PairBatches`.
        """
        pairs = check.items("Translator", "pairs", pairs)
        if stream:
            return TextPairBatches(pairs, self.source, self.target, **options)
        return PairBatches(
            [self.source.encode(source) for source, _ in pairs],
            [self.target.encode(target) for _, target in pairs],
            **options,
        )

    def __call__(
        self,
        texts: Sequence[str],
        *,
        beam_size: int = 1,
        max_length: int = 100,
        length_penalty: float = 0.0,
        coverage_penalty: float = 0.0,
    ) -> list[str]:
        """Translate each text; the translation of an empty text is empty.

        Parameters
        ----------
        texts : sequence of str
            The texts, translated as one batch.
        beam_size : int
            Number of hypotheses that are continued at each step; 1 is greedy decoding.
        max_length : int
            Maximum number of tokens of a translation, end mark included.
        length_penalty, coverage_penalty : float
            As for `Seq2Seq.beam_search`.

        Raises
        ------
        ValueError, TypeError
            As for `n_best`.
        """
        found = self.n_best(
            texts,
            beam_size=beam_size,
            n_best=1,
            max_length=max_length,
            length_penalty=length_penalty,
            coverage_penalty=coverage_penalty,
        )
        return [best.text for (best, *_) in found]

    @renamed(alignments="return_attention")
    def n_best(
        self,
        texts: Sequence[str],
        *,
        beam_size: int = 5,
        n_best: int = 5,
        max_length: int = 100,
        length_penalty: float = 0.0,
        coverage_penalty: float = 0.0,
        return_attention: bool = False,
    ) -> list[list[Translation]]:
        """Return the best translations of each text by beam search, the best first.

        Parameters
        ----------
        texts : sequence of str
            The texts, translated as one batch. An empty text has one translation, the empty string.
        beam_size, n_best, max_length, length_penalty, coverage_penalty
            As for `Seq2Seq.beam_search`.
        return_attention : bool
            Whether to return the attention weights.

        Raises
        ------
        TypeError
            If `texts` is one string or not of strings, or an option has a wrong type.
        ValueError
            If an option is out of range, a text is longer than `max_source_length`, or attention
            weights are requested from a model without attention.
        """
        texts = check.items("Translator", "texts", texts)
        if not texts:
            return []
        for i, text in enumerate(texts):
            self.check_source(text, f"texts[{i}]")
        encoded = [self.source.encode(text) for text in texts]
        ids, lengths = pad(encoded)
        found = self.model.beam_search(
            ids,
            lengths,
            beam_size=beam_size,
            n_best=n_best,
            max_length=max_length,
            length_penalty=length_penalty,
            coverage_penalty=coverage_penalty,
            return_attention=return_attention,
        )
        nothing = TokenAttention([], [], np.zeros((0, 0))) if return_attention else None
        return [
            [self._translation(source, hypothesis) for hypothesis in hypotheses]
            if len(source)
            else [Translation("", 0.0, 0.0, nothing)]
            for source, hypotheses in zip(encoded, found, strict=True)
        ]

    def check_source(self, text: str, name: str = "text") -> None:
        """Raise unless a text can be translated; `name` is what the message calls it.

        Raises
        ------
        TypeError
            If it is not a str.
        ValueError
            If it has more than `max_source_length` tokens.
        """
        length = len(self.source.split(check.text("Translator", name, text)))
        if length > self.max_source_length:
            wanted = f"at most {self.max_source_length} tokens"
            came = f"{length}: {reprlib.repr(text)}"
            raise ValueError(f"Translator: {name} must have {wanted}, got {came}")

    def attention(self, text: str, *, max_length: int = 100) -> TokenAttention:
        """Translate one text and return its attention weights.

        Raises
        ------
        ValueError
            If the model has no attention.
        """
        ((best,),) = self.n_best(
            [text], beam_size=1, n_best=1, max_length=max_length, return_attention=True
        )
        assert best.attention is not None
        return best.attention

    def align(self, text: str, *, max_length: int = 100) -> TokenAttention:
        """Call `attention`, whose old name this is."""
        warn("Translator: align is now called attention")
        return self.attention(text, max_length=max_length)

    def _translation(self, source: Array, hypothesis: Hypothesis) -> Translation:
        """Return the text of a hypothesis."""
        attention = None
        if hypothesis.attention is not None:
            attention = TokenAttention(
                [self.source.tokens[i] for i in source],
                [self.target.tokens[i] for i in hypothesis.tokens],
                hypothesis.attention[:, : len(source)],
            )
        text = self.target.decode(hypothesis.tokens)
        return Translation(text, hypothesis.score, hypothesis.log_probability, attention)

    def save(self, path: Path) -> None:
        """Write the model and its vocabularies to one safetensors file."""
        extra = {
            "source": self.source.to_dict(),
            "target": self.target.to_dict(),
            "max_source_length": self.max_source_length,
        }
        save(self.model, path, extra=extra)

    @classmethod
    def load(cls, path: Path) -> Translator:
        """Return the model in a file written by `save`, in eval mode.

        Raises
        ------
        OSError, ValueError
            As for `fastrnn.load`; ValueError also for another model, or without vocabularies.
        """

        def build(model: Seq2Seq, extra: dict[str, Any]) -> Translator:
            source, target = (Vocabulary.from_dict(extra[name]) for name in ("source", "target"))
            longest = extra.get("max_source_length", MAX_SOURCE_LENGTH)
            return cls(model, source, target, max_source_length=longest)

        return load_as(path, Seq2Seq, build)
