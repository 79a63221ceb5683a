"""Sequence to sequence: an encoder and a decoder, trained together."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastrnn import _check as check
from fastrnn import ops
from fastrnn._check import Rng
from fastrnn.data import BOS, EOS, PAD
from fastrnn.layers import SoftmaxCrossEntropy
from fastrnn.models.base import Array, evaluating
from fastrnn.models.decoder import Decoder
from fastrnn.models.encoder import Encoder, Memory
from fastrnn.models.generation import Generation
from fastrnn.models.options import arguments_of, checked_options
from fastrnn.models.scores import TokenScores, score_tokens
from fastrnn.models.steps import Steps
from fastrnn.training import BatchSource, exact_match


class Seq2Seq(Generation):
    """An encoder-decoder with, on request, attention and a peeking decoder.

    The encoder's final state, as it is or over a bridge, is the decoder's initial state (Sutskever,
    Vinyals and Le 2014). Token 0 is padding, 1 begins a target and 2 ends it; sources need neither
    mark.

    Parameters
    ----------
    source_size, target_size : int
        Numbers of tokens of the two languages; the target's include the three marks.
    embedding_size, hidden_size : int
        Widths D of the embeddings and H of the recurrent layers, the same in encoder and decoder.
    cell : {"lstm", "gru", "rnn"}
        The recurrent cell of both.
    num_layers : int
        Number of recurrent layers of the encoder.
    decoder_layers : int, optional
        Number of those of the decoder, at most ``num_layers``, which is the default: they start
        from the final states of the encoder's last layers.
    attention : {None, "dot", "scaled_dot", "general", "additive", "multi_head"}
        Score by which the decoder attends to the encoder's outputs; see `fastrnn.Attention`.
    num_heads : int
        Number of heads of "multi_head"; it divides ``hidden_size``.
    context : {"output", "input_feeding", "input"}
        Where the context that attention gives is used: after the recurrent layers (Luong, Pham and
        Manning 2015, section 3.1); there, and the features f that the classifier sees of a step
        join the next step's input (section 3.3); or at the input, the state before the step being
        what asks (Bahdanau, Cho and Bengio 2015).
    readout : {"concat", "tanh"}
        What the classifier sees of the context c that attention gives and the decoder's output h:
        ``[c; h]``, or ``tanh([c; h] W + b)`` (Luong, Pham and Manning 2015, equation 5).
    readout_size : int, optional
        Width of the latter; the default is ``hidden_size``.
    bridge : {None, "linear", "tanh"}
        How the encoder's final state becomes the decoder's initial one: as it is, a bidirectional
        encoder's directions side by side, or each layer's through an affine map of its own, with
        "tanh" through tanh too (Bahdanau, Cho and Bengio 2015, appendix A.2.2).
    peeky : bool
        Show the encoder's final hidden state (of the top layer) to the decoder at every step,
        at its input and at its classifier, rather than only as its initial state.
    reverse_source : bool
        Read each source from its last token to its first.
    bidirectional_encoder : bool
        Read it both ways, with ``hidden_size // 2`` units each.
    hidden_only : bool
        Hand only h from encoder to decoder, as some textbooks do; an LSTM's c starts at zeros.
    dropout : float
        Probability of dropping a value after the embeddings, between recurrent layers and
        before the classifier.
    embedding_dropout : float, optional
        The same after the embeddings only; the default is ``dropout``.
    recurrent_dropout : float
        Probability of dropping a value of the state where it meets the recurrent weights, the same
        values at each step of a sequence (Gal and Ghahramani 2016).
    residual : bool
        Add to the output of each layer from the third on what it came from (Wu et al. 2016, section
        3.1).
    tie_embeddings : bool
        Classify with the target embedding's own matrix, transposed (Press and Wolf 2017); needs
        embeddings as wide as the classifier's input.
    label_smoothing : float
        Share of the target distribution that is spread evenly over all tokens, in [0, 1), in train
        mode (Szegedy et al. 2016, section 7).
    sampling_rate : float
        Probability, in [0, 1], of feeding the decoder in training its own likeliest token instead
        of the target's (scheduled sampling: Bengio et al. 2015, section 2.4). It may be set at any
        time; a `fastrnn.training.SamplingSchedule` does so for the trainer.
    dtype : dtype
        float32 or float64.
    rng : int, numpy.random.Generator or None
        Rng or source of the initial parameters and of dropout.
    """

    def __init__(
        self,
        source_size: int,
        target_size: int,
        embedding_size: int,
        hidden_size: int,
        *,
        cell: str = "lstm",
        num_layers: int = 1,
        decoder_layers: int | None = None,
        attention: str | None = None,
        num_heads: int = 1,
        context: str = "output",
        readout: str = "concat",
        readout_size: int | None = None,
        bridge: str | None = None,
        peeky: bool = False,
        reverse_source: bool = False,
        bidirectional_encoder: bool = False,
        hidden_only: bool = False,
        dropout: float = 0.0,
        embedding_dropout: float | None = None,
        recurrent_dropout: float = 0.0,
        residual: bool = False,
        tie_embeddings: bool = False,
        label_smoothing: float = 0.0,
        sampling_rate: float = 0.0,
        dtype: npt.DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        self._config = config = checked_options(**arguments_of(locals()))
        self.source_size, self.target_size = config["source_size"], config["target_size"]
        rng = check.seeded("Seq2Seq", rng)
        self.encoder = Encoder(config, rng)
        self.decoder = Decoder(config, rng)
        self.criterion = SoftmaxCrossEntropy(PAD, label_smoothing=config["label_smoothing"])
        super().__init__(
            {f"encoder.{name}": layer for name, layer in self.encoder.layers.items()}
            | {f"decoder.{name}": layer for name, layer in self.decoder.layers.items()}
            | {"criterion": self.criterion},
            rng,
            tied=["decoder.output.W"] if config["tie_embeddings"] else [],
        )

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, without ``rng``."""
        return dict(self._config)

    @property
    def sampling_rate(self) -> float:
        """Probability of feeding the decoder its own token in training; see the class."""
        rate: float = self._config["sampling_rate"]
        return rate

    @sampling_rate.setter
    def sampling_rate(self, rate: float) -> None:
        self._config["sampling_rate"] = check.rate("Seq2Seq", "sampling_rate", rate)

    def loss(
        self, source: npt.ArrayLike, lengths: npt.ArrayLike | None, target: npt.ArrayLike
    ) -> float:
        """Mean cross-entropy of ``target`` given ``source``, in nats per token.

        Parameters
        ----------
        source : array of int, shape (N, S)
            Source tokens, padded with 0.
        lengths : array of int, shape (N,), or None
            Number of tokens of each source; None means S.
        target : array of int, shape (N, T)
            Target tokens with their end mark, padded with 0. The decoder is fed the same,
            shifted right behind token 1; padding does not count in the mean.

        Raises
        ------
        ValueError
            If a shape, a token id or a length is wrong.
        """
        return float(self.criterion(*self._run(source, lengths, target)))

    def _run(
        self, source: npt.ArrayLike, lengths: npt.ArrayLike | None, target: npt.ArrayLike
    ) -> tuple[Array, Array]:
        """Check a batch and run it forward: logits (L, V) of the targets' tokens, and these."""
        source, lengths = self._check_source(source, lengths)
        shape = (len(source), "T")
        target = check.integers("Seq2Seq", "target", target, shape, self.target_size)
        memory = self.encoder.forward(source, lengths)
        fed = np.insert(self._given(target, memory), 0, BOS, axis=1)[:, :-1]
        steps = Steps(_lengths(target), *target.shape)
        return self.decoder.forward(fed, memory, steps), steps.taken(target)

    def _given(self, target: Array, memory: Memory) -> Array:
        """Return the target, in training with some tokens replaced by the model's own.

        They are what the decoder, without dropout, finds likeliest when it goes through the target
        and is fed them as it goes; no gradient passes through this choice. So a second pass, which
        is given them all, has the gradient of the paper.
        """
        if not self.training or self.sampling_rate == 0 or target.size == 0:
            return target
        own = self.rng.random(target.shape) < self.sampling_rate
        if not own.any():
            return target
        decoded = ops.decode_greedy(
            self.decoder.weights(),
            **self.decoder.given(memory),
            start=BOS,
            end=None,
            max_length=target.shape[1],
            forced=target,
            use_forced=~own,
        )
        return decoded.tokens

    def backward(self) -> None:
        """Fill ``grads`` with the gradients of the last ``loss``.

        Raises
        ------
        ValueError
            If there was no ``loss`` in train mode before.
        """
        self.encoder.backward(self.decoder.backward(self.criterion.backward()))

    def accuracy(self, batches: BatchSource) -> float:
        """Share of the targets that ``generate`` reproduces exactly, from 0 to 1.

        Parameters
        ----------
        batches : batches of (source, lengths, target)
            As for the trainer; the order is that of epoch 0.
        """
        right, count = 0.0, 0
        for source, lengths, target in batches.epoch(0):
            ids = self.generate(source, lengths, max_length=target.shape[1])
            right += exact_match(ids, target, eos=EOS) * len(target)
            count += len(target)
        return right / count

    def token_scores(self, batches: BatchSource) -> TokenScores:
        """Loss and accuracy per token of the targets, each token given the true ones before it.

        Parameters
        ----------
        batches : batches of (source, lengths, target)
            As for the trainer; the order is that of epoch 0.
        """
        with evaluating(self):
            outputs = (self._run(*batch) for batch in batches.epoch(0))
            return score_tokens("Seq2Seq", self.criterion, outputs)


def _lengths(target: Array) -> Array:
    """Tokens of each target up to its last that is not padding."""
    counted = np.arange(1, target.shape[1] + 1) * (target != PAD)
    lengths: Array = counted.max(axis=1, initial=0)
    return lengths
