"""Decoding of a Seq2Seq: greedy, by sampling and by beam search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar, overload

import numpy as np
import numpy.typing as npt

from fastrnn import _check as check
from fastrnn import ops
from fastrnn.data import BOS, EOS
from fastrnn.models.base import Array, Model, evaluating
from fastrnn.models.decoder import Decoder
from fastrnn.models.encoder import Encoder
from fastrnn.ops import Hypothesis

__all__ = ["Generation", "Hypothesis"]

Found = TypeVar("Found")


class Generation(Model):
    """The decoding methods of a model with an encoder and a decoder.

    All run in eval mode, whatever the model's mode. The results of a source do not depend on the
    other sources of the batch.
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
        """Return the target of each source, with the most probable token at every step.

        Parameters
        ----------
        source : integer array (N, S)
            Source tokens, padded with 0.
        lengths : integer array (N,) or None
            Number of tokens of each source; None means S.
        max_length : int
            Maximum number of tokens, end mark included.
        return_attention : bool
            Return the attention weights, too.

        Returns
        -------
        ids : int64 array (N, L)
            The tokens of each target with its end mark, then zeros; L is the length of the longest.
        attention : array (N, L, S)
            Only with `return_attention`: the attention weights of each target token, in the order
            of `source`; zeros after the end.

        Raises
        ------
        ValueError
            If an argument is wrong, or `return_attention` is set for a model without attention.
        TypeError
            If one is of a wrong type.
        """
        found, order = self._decode(
            ops.decode_greedy, source, lengths, max_length, return_attention
        )
        if found.attention is None:
            return found.tokens
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
        """Sample a target of each source from softmax(logits / temperature).

        Parameters
        ----------
        source, lengths, max_length
            As for `generate`.
        temperature, top_k, top_p
            As for `LanguageModel.sample`.
        seed : int or integer array (N,), optional
            Seed of each source, or one for all, with which equal sources get equal targets. The
            default is a new seed for each source.

        Returns
        -------
        int64 array (N, L)
            As for `generate`.

        Raises
        ------
        ValueError, TypeError
            As for `generate`.
        """
        options = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
        found, _ = self._decode(ops.decode_sample, source, lengths, max_length, False, **options)
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
        """Search for the targets with the best scores, as `fastrnn.ops.decode_beam` defines them.

        Parameters
        ----------
        source, lengths, max_length
            As for `generate`.
        beam_size : int
            Number of hypotheses that are continued at each step.
        n_best : int
            Number of hypotheses to return for each source, at most `beam_size`.
        length_penalty, coverage_penalty : float
            Not negative. The first favours long targets; the second penalizes targets that leave
            parts of the source without attention.
        return_attention : bool
            Return the attention weights, too, in the order of `source`.

        Returns
        -------
        list of lists of Hypothesis
            The best targets of each source, the best first.

        Raises
        ------
        ValueError, TypeError
            As for `generate`.
        """
        found, order = self._decode(
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
        return [
            [each._replace(attention=np.asarray(each.attention)[:, own]) for each in hypotheses]
            for hypotheses, own in zip(found, order, strict=True)
        ]

    def _check_source(
        self, source: npt.ArrayLike, lengths: npt.ArrayLike | None
    ) -> tuple[Array, Array | None]:
        source = check.integers("Seq2Seq", "source", source, ("N", "T"), self.source_size)
        return source, check.lengths("Seq2Seq", lengths, *source.shape)

    def _decode(
        self,
        decode: Callable[..., Found],
        source: npt.ArrayLike,
        lengths: npt.ArrayLike | None,
        max_length: int,
        return_attention: bool,
        **options: Any,
    ) -> tuple[Found, Array]:
        """Return what `decode` finds, and the positions (N, S) of the tokens in its memory."""
        source, lengths = self._check_source(source, lengths)
        max_length = check.size("Seq2Seq", "max_length", max_length)
        if return_attention and self.decoder.attention is None:
            raise ValueError("Seq2Seq: return_attention needs a model with attention")
        with evaluating(self):
            memory = self.encoder.forward(source, lengths)
            found = decode(
                self.decoder.weights(),
                **self.decoder.given(memory),
                start=BOS,
                end=EOS,
                max_length=max_length,
                return_attention=return_attention,
                **options,
            )
        return found, self.encoder.order(source.shape, lengths)
