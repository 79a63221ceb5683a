"""What a Seq2Seq produces: targets, the likeliest, drawn by chance or found by beam search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from fastrnn import _check as check
from fastrnn import ops
from fastrnn.data import BOS, EOS
from fastrnn.models.base import Array, Model, evaluating
from fastrnn.models.decoder import Decoder
from fastrnn.models.encoder import Encoder, reversal
from fastrnn.ops import Decoded, Hypothesis

__all__ = ["Generation", "Hypothesis"]


class Generation(Model):
    """The methods by which a model with an encoder and a decoder produces targets.

    All run in eval mode, whatever the model's mode, and what a source gives does not depend on the
    others of its batch.
    """

    encoder: Encoder
    decoder: Decoder
    source_size: int

    @overload
    def generate(
        self,
        source: npt.ArrayLike,
        lengths: npt.ArrayLike | None = None,
        *,
        max_length: int = 100,
        return_attention: Literal[False] = False,
    ) -> Array: ...

    @overload
    def generate(
        self,
        source: npt.ArrayLike,
        lengths: npt.ArrayLike | None = None,
        *,
        max_length: int = 100,
        return_attention: Literal[True],
    ) -> tuple[Array, Array]: ...

    def generate(
        self,
        source: npt.ArrayLike,
        lengths: npt.ArrayLike | None = None,
        *,
        max_length: int = 100,
        return_attention: bool = False,
    ) -> Array | tuple[Array, Array]:
        """Produce the target of each source, taking the likeliest token at every step.

        Parameters
        ----------
        source : array of int, shape (N, S)
            Source tokens, padded with 0.
        lengths : array of int, shape (N,), or None
            Number of tokens of each source; None means S.
        max_length : int
            Most tokens to produce, end mark included.
        return_attention : bool
            Return the attention weights too.

        Returns
        -------
        ids : array of int64, shape (N, L)
            L <= max_length is the length of the longest target; each row holds its tokens with
            the end mark and then zeros.
        attention : array, shape (N, L, S)
            Only with ``return_attention``: the attention weight of each source token (in the order
            of ``source``, reversed or not) when each target token was chosen; zeros after the end.

        Raises
        ------
        ValueError
            If an argument is wrong, or attention is wanted of a model without attention.
        TypeError
            If one is of a wrong type.
        """
        source, lengths = self._check_source(source, lengths)
        found: Decoded = self._decode(
            ops.decode_greedy, source, lengths, max_length, return_attention
        )
        if found.attention is None:
            return found.tokens
        order = self._reading_order(source.shape, lengths)
        return found.tokens, np.take_along_axis(found.attention, order[:, None], axis=2)

    def sample(
        self,
        source: npt.ArrayLike,
        lengths: npt.ArrayLike | None = None,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | npt.ArrayLike | None = None,
        max_length: int = 100,
    ) -> Array:
        """Produce a target of each source, drawing each token from softmax(logits / temperature).

        Parameters
        ----------
        source, lengths, max_length
            As for ``generate``.
        temperature : float
            Below 1 the likely tokens become likelier; 0 always takes the likeliest.
        top_k : int, optional
            Draw only from so many of the likeliest tokens.
        top_p : float, optional
            Then draw only from the fewest of the likeliest tokens that have this share of the
            probability left together, in (0, 1].
        seed : int or array of int, shape (N,), optional
            What the draws of each source depend on, and nothing else of the batch; one seed for all
            draws the same targets for equal sources. The default is a new seed for each.

        Returns
        -------
        array of int64, shape (N, L)
            As of ``generate``.

        Raises
        ------
        ValueError
            If an argument is wrong.
        TypeError
            If one is of a wrong type.
        """
        source, lengths = self._check_source(source, lengths)
        options = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
        found: Decoded = self._decode(
            ops.decode_sample, source, lengths, max_length, False, **options
        )
        return found.tokens

    def beam_search(
        self,
        source: npt.ArrayLike,
        lengths: npt.ArrayLike | None = None,
        *,
        beam_size: int = 5,
        n_best: int = 1,
        max_length: int = 100,
        length_penalty: float = 0.0,
        coverage_penalty: float = 0.0,
        return_attention: bool = False,
    ) -> list[list[Hypothesis]]:
        """Search the targets of the best scores; `fastrnn.ops.decode_beam` says how.

        Parameters
        ----------
        source, lengths, max_length
            As for ``generate``.
        beam_size : int
            How many hypotheses go on at each step.
        n_best : int
            How many to return for each source, at most ``beam_size``.
        length_penalty, coverage_penalty : float
            From 0. The larger, the less is a long target at a disadvantage; the more one that
            leaves parts of the source without attention.
        return_attention : bool
            Return the attention weights too, for each source token in the order of ``source``.

        Returns
        -------
        list of lists of Hypothesis
            For each source its best targets, the best first.

        Raises
        ------
        ValueError
            If an argument is wrong, or attention is wanted of a model without.
        TypeError
            If one is of a wrong type.
        """
        source, lengths = self._check_source(source, lengths)
        found: list[list[Hypothesis]] = self._decode(
            ops.decode_beam,
            source,
            lengths,
            max_length,
            return_attention,
            beam_size=beam_size,
            n_best=n_best,
            length_penalty=length_penalty,
            coverage_penalty=coverage_penalty,
        )
        if not return_attention:
            return found
        order = self._reading_order(source.shape, lengths)
        return [
            [_reordered(hypothesis, own) for hypothesis in results]
            for results, own in zip(found, order, strict=True)
        ]

    def _check_source(
        self, source: npt.ArrayLike, lengths: npt.ArrayLike | None
    ) -> tuple[Array, Array | None]:
        source = check.integers("Seq2Seq", "source", source, ("N", "T"), self.source_size)
        return source, check.lengths("Seq2Seq", lengths, *source.shape)

    def _decode(
        self,
        decode: Callable[..., Any],
        source: Array,
        lengths: Array | None,
        max_length: int,
        return_attention: bool,
        **options: Any,
    ) -> Any:
        """Encode the sources and decode their targets."""
        max_length = check.size("Seq2Seq", "max_length", max_length)
        if return_attention and self.decoder.attention is None:
            raise ValueError("Seq2Seq: return_attention needs a model with attention")
        with evaluating(self):
            memory = self.encoder.forward(source, lengths)
            return decode(
                self.decoder.weights(),
                **self.decoder.given(memory),
                start=BOS,
                end=EOS,
                max_length=max_length,
                return_attention=return_attention,
                **options,
            )

    def _reading_order(self, shape: tuple[int, ...], lengths: Array | None) -> Array:
        """At which step (N, S) the encoder read each token."""
        if self.encoder.reverse:
            return reversal(shape, lengths)  # which is its own inverse
        return np.broadcast_to(np.arange(shape[1]), shape)


def _reordered(hypothesis: Hypothesis, order: Array) -> Hypothesis:
    assert hypothesis.attention is not None
    return hypothesis._replace(attention=hypothesis.attention[:, order])
