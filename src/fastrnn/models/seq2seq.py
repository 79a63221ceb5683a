"""A sequence-to-sequence model: an encoder and a decoder, trained together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastrnn import _check as check
from fastrnn import ops
from fastrnn._cells import Cell
from fastrnn._check import Rng
from fastrnn.data import BOS, EOS, PAD
from fastrnn.layers import SoftmaxCrossEntropy
from fastrnn.layers.base import all_or_none
from fastrnn.models.base import Array, evaluating
from fastrnn.models.decoder import Decoder
from fastrnn.models.encoder import Encoder, Memory
from fastrnn.models.generation import Generation
from fastrnn.models.options import arguments_of, checked_options
from fastrnn.models.padding import Padding
from fastrnn.models.scores import TokenScores, score_tokens
from fastrnn.training import BatchSource, exact_match


class Seq2Seq(Generation):
    """An encoder-decoder, optionally with attention and a peeky decoder.

    The encoder's final state, unchanged or through a bridge, is the decoder's initial state
    (Sutskever, Vinyals and Le 2014). Token 0 is padding, 1 begins a target and 2 ends it; sources
    need neither mark.

    Parameters
    ----------
    source_size, target_size : int
        Vocabulary sizes of the two languages; the target's includes the three marks.
    embedding_size, hidden_size : int
        Sizes D of the embeddings and H of the recurrent layers, equal in encoder and decoder.
    cell : str or Cell
        The recurrent cell of encoder and decoder: "lstm", "gru", "rnn", one of the library such as
        "layer_norm_lstm", or what `fastrnn.cell.define` made; it must not project h.
    num_layers : int
        Number of recurrent layers of the encoder.
    decoder_layers : int, optional
        Number of recurrent layers of the decoder, at most `num_layers` (the default). They start
        from the final states of the encoder's last layers.
    attention : {None, "dot", "scaled_dot", "general", "additive", "multi_head"}
        Score function of the attention to the encoder's outputs; see `fastrnn.Attention`.
    num_heads : int
        Number of heads of "multi_head"; a divisor of `hidden_size`.
    context : {"output", "input_feeding", "input"}
        Where the attention context is used: "output", after the recurrent layers (Luong, Pham and
        Manning 2015, section 3.1); "input_feeding", the same, and the classifier's features are
        part of the next step's input (section 3.3); "input", in the input of the recurrent layers,
        with the previous state as the query (Bahdanau, Cho and Bengio 2015).
    readout : {"concat", "tanh"}
        Features for the classifier from the attention context c and the decoder's output h:
        ``[c; h]``, or ``tanh([c; h] W + b)`` (Luong, Pham and Manning 2015, equation 5).
    readout_size : int, optional
        Size of the features of "tanh"; the default is `hidden_size`.
    bridge : {None, "linear", "tanh"}
        Map from the encoder's final state to the decoder's initial state: none (the directions of a
        bidirectional encoder are concatenated), an affine map for each layer, or an affine map and
        tanh (Bahdanau, Cho and Bengio 2015, appendix A.2.2).
    peeky : bool
        Feed the final hidden state of the encoder's top layer to the decoder at every step, in the
        input of the recurrent layers and of the classifier, as `PeekyDecoder` in K. Saitoh's
        textbook "Deep Learning from Scratch 2" (Cho et al. 2014).
    reverse_source : bool
        Read each source from its last token to its first.
    bidirectional_encoder : bool
        Read each source in both directions, with ``hidden_size // 2`` units each.
    hidden_only : bool
        Pass only h from encoder to decoder, as Saitoh's book does; an LSTM's c starts at zeros.
    dropout : float
        Probability of dropping a value after the embeddings, between the recurrent layers and
        before the classifier.
    embedding_dropout, recurrent_dropout, residual, label_smoothing, dtype, rng
        As for `LanguageModel`.
    tie_embeddings : bool
        Use the target embedding's matrix, transposed, in the classifier (Press and Wolf 2017); its
        size must be that of the classifier's input.
    sampling_rate : float
        Probability, in [0, 1], of feeding the decoder in training its own most probable token
        instead of the target's (scheduled sampling: Bengio et al. 2015, section 2.4). It may be set
        at any time; the trainer sets it by a `fastrnn.training.SamplingSchedule`.
    """

    def __init__(
        self,
        source_size: int,
        target_size: int,
        embedding_size: int,
        hidden_size: int,
        *,
        cell: str | Cell = "lstm",
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
        config = checked_options(**arguments_of(locals()))
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
            config=config,
            tied=["decoder.output.W"] if config["tie_embeddings"] else [],
        )

    @property
    def sampling_rate(self) -> float:
        """The probability of feeding the decoder its own token in training; see the class."""
        rate: float = self._config["sampling_rate"]
        return rate

    @sampling_rate.setter
    def sampling_rate(self, rate: float) -> None:
        self._config["sampling_rate"] = check.rate("Seq2Seq", "sampling_rate", rate)

    def loss(
        self, source: npt.ArrayLike, lengths: npt.ArrayLike | None, target: npt.ArrayLike
    ) -> float:
        """Return the mean cross-entropy of `target` given `source`, in nats per token.

        Parameters
        ----------
        source : integer array (N, S)
            Source tokens, padded with 0.
        lengths : integer array (N,) or None
            Number of tokens of each source; None means S.
        target : integer array (N, T)
            Target tokens with their end mark, padded with 0. The decoder's inputs are token 1 and
            then these tokens; padding does not count in the mean.

        Raises
        ------
        ValueError
            If a shape, a token id or a length is wrong.
        """
        return float(self.criterion(*self._run(source, lengths, target)))

    def _run(
        self, source: npt.ArrayLike, lengths: npt.ArrayLike | None, target: npt.ArrayLike
    ) -> tuple[Array, Array]:
        """Check and run a batch; return logits (L, V) of the target tokens, and these tokens."""
        source, lengths = self._check_source(source, lengths)
        shape = (len(source), "T")
        target = check.integers("Seq2Seq", "target", target, shape, self.target_size)
        if self.training:
            self.forget()  # if this forward fails, there is none to go back from, rather than half
        memory = self.encoder.forward(source, lengths)
        fed = np.insert(self._given(target, memory), 0, BOS, axis=1)[:, :-1]
        numbers = np.arange(1, target.shape[1] + 1)
        lasts = (numbers * (target != PAD)).max(axis=1, initial=0)
        padding = Padding(lasts, *target.shape)
        return self.decoder.forward(fed, memory, padding), padding.remove(target)

    def _given(self, target: Array, memory: Memory) -> Array:
        """Return the target, in training with some tokens replaced by the model's own.

        These are the most probable tokens of a decoder run without dropout that is fed them as it
        goes. The choice has no gradient, so a second pass over all tokens has the gradient of the
        paper.
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
        """Fill `grads` with the gradients of the last `loss`.

        Raises
        ------
        ValueError
            If there was no `loss` in train mode before.
        """
        with all_or_none(self.layers.values()):
            self.encoder.backward(self.decoder.backward(self.criterion.backward()))

    def accuracy(self, batches: BatchSource) -> float:
        """Return the fraction of the targets that `generate` reproduces exactly.

        Parameters
        ----------
        batches : batches of (source, lengths, target)
            As for the trainer; the order is that of epoch 0.

        Raises
        ------
        ValueError
            If there are none.
        """
        right, count = 0.0, 0
        for source, lengths, target in check.batches("Seq2Seq", batches).epoch(0):
            ids = self.generate(source, lengths, max_length=target.shape[1])
            right += exact_match(ids, target, eos=EOS) * len(target)
            count += len(target)
        if not count:
            raise ValueError("Seq2Seq: there must be at least one target to score")
        return right / count

    def token_scores(self, batches: BatchSource) -> TokenScores:
        """Return loss and accuracy per target token, each given the true tokens before it.

        Parameters
        ----------
        batches : batches of (source, lengths, target)
            As for the trainer; the order is that of epoch 0.
        """
        with evaluating(self):
            given = check.batches("Seq2Seq", batches).epoch(0)
            outputs = (self._run(*batch) for batch in given)
            return score_tokens("Seq2Seq", self.criterion, outputs)
