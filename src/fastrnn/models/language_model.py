"""A recurrent language model: the next token from all tokens before it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from fastrnn import _check as check
from fastrnn import ops
from fastrnn._cells import Cell
from fastrnn._check import Rng
from fastrnn.layers import Dropout, Embedding, Linear, SoftmaxCrossEntropy
from fastrnn.layers.base import all_or_none
from fastrnn.layers.recurrent import RecurrentLayer
from fastrnn.models.base import (
    Array,
    Model,
    arrays_of,
    build_rnn,
    decoder_weights,
    evaluating,
    state_of,
)
from fastrnn.models.inputs import TokenInputs
from fastrnn.models.options import arguments_of, checked_one_by_one
from fastrnn.models.scores import TokenScores, score_tokens
from fastrnn.training import BatchSource

# The most tokens of a piece of a sampled text, and its multiply-adds in about a tenth of a second.
_TOKENS_AT_ONCE, _WORK_AT_ONCE = 1024, 500_000_000


class LanguageModel(Model):
    """A language model: embedding, stacked recurrent layers and a linear classifier.

    It is trained by truncated backpropagation through time: the final state of a batch is the
    initial state of the next one, without gradient, until `reset`. `dropout` is applied after the
    embedding, between the recurrent layers and before the classifier (Zaremba, Sutskever and
    Vinyals 2014), `recurrent_dropout` in the recurrence.

    Parameters
    ----------
    vocab_size : int
        Number of tokens V.
    embedding_size, hidden_size : int
        Sizes D of the embedding and H of the recurrent layers.
    cell : str or Cell
        The recurrent cell: "lstm", "gru", "rnn", one of the library such as
        "layer_norm_lstm", or what `fastrnn.cell.define` made; it must not project h.
    num_layers : int
        Number of recurrent layers.
    dropout : float
        Probability of dropping a value.
    embedding_dropout : float, optional
        The same after the embedding; the default is `dropout`.
    recurrent_dropout : float
        Probability of dropping a value of h before the recurrent weights, the same values at each
        step of a sequence (Gal and Ghahramani 2016).
    residual : bool
        Add the input of each layer from the third on to its output (Wu et al. 2016, section 3.1);
        an error below three layers.
    label_smoothing : float
        Fraction of the target distribution that is spread evenly over all tokens, in [0, 1), in
        train mode (Szegedy et al. 2016, section 7).
    tie_weights : bool
        Use the embedding's matrix, transposed, in the classifier (Press and Wolf 2017); needs
        ``embedding_size == hidden_size``.
    dtype : dtype
        float32 or float64.
    rng : int, numpy.random.Generator or None
        Seed or generator for the initial parameters and dropout.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int,
        hidden_size: int,
        *,
        cell: str | Cell = "lstm",
        num_layers: int = 1,
        dropout: float = 0.0,
        embedding_dropout: float | None = None,
        recurrent_dropout: float = 0.0,
        residual: bool = False,
        label_smoothing: float = 0.0,
        tie_weights: bool = False,
        dtype: npt.DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        config = checked_one_by_one("LanguageModel", arguments_of(locals()))
        if tie_weights and embedding_size != hidden_size:
            raise ValueError(
                "LanguageModel: tie_weights needs embedding_size == hidden_size, "
                f"got {embedding_size} and {hidden_size}"
            )
        rng = check.seeded("LanguageModel", rng)
        common: dict[str, Any] = {"dtype": dtype, "rng": rng}
        self.embedding = Embedding(vocab_size, embedding_size, **common)
        self.dropout_in = Dropout(config["embedding_dropout"], rng=rng)
        self.rnn = build_rnn(config, embedding_size, rng)
        self.dropout_out = Dropout(dropout, rng=rng)
        self.output = Linear(hidden_size, vocab_size, **common)
        tied = self.output if tie_weights else None
        self.inputs = TokenInputs(self.embedding, self.dropout_in, tied)
        self.criterion = SoftmaxCrossEntropy(label_smoothing=label_smoothing)
        self.vocab_size = self.embedding.num_embeddings
        self._state_names = [f"state.{name}" for name in self.rnn.cell.states]
        self._state: Any = None  # of the recurrent layers after the last batch
        names = ("embedding", "dropout_in", "rnn", "dropout_out", "output", "criterion")
        layers = {name: getattr(self, name) for name in names}
        super().__init__(layers, rng, config=config, tied=["output.W"] if tie_weights else [])

    def loss(self, inputs: npt.ArrayLike, targets: npt.ArrayLike) -> float:
        """Return the mean cross-entropy of `targets` after `inputs`, in nats per token.

        The initial state is the final state of the last batch, or zeros after `reset`.

        Parameters
        ----------
        inputs, targets : integer array (N, T)
            ``targets[:, t]`` is the token that follows ``inputs[:, t]``.

        Raises
        ------
        ValueError
            If the shapes differ, an id is out of range, or N changed without a `reset`.
        """
        logits, targets, state = self._run(inputs, targets, self._state)
        loss = float(self.criterion(logits, targets))
        self._state = state
        return loss

    def _run(
        self, inputs: npt.ArrayLike, targets: npt.ArrayLike, state: Any
    ) -> tuple[Array, Array, Any]:
        """Check and run a batch; return logits (N, T, V), the targets and the new state."""
        owner, size = "LanguageModel", self.vocab_size
        inputs = check.integers(owner, "inputs", inputs, ("N", "T"), size)
        targets = check.integers(owner, "targets", targets, inputs.shape, size)
        if self.training:
            self.forget()  # if this forward fails, there is none to go back from, rather than half
        x, embedding = self.inputs.forward(inputs)
        y, state = self.rnn(x, state, embedding=embedding)
        return self.chain[-1](self.dropout_out(y)), targets, state

    @property
    def chain(self) -> tuple[Embedding, RecurrentLayer, Linear]:
        """The layers from ids to logits in eval mode, in order."""
        self.inputs.tie()
        return self.embedding, self.rnn, self.output

    def backward(self) -> None:
        """Fill `grads`; the gradient stops at the initial state of the batch.

        Raises
        ------
        ValueError
            If there was no `loss` in train mode before.
        """
        with all_or_none(self.layers.values()):
            dlogits = self.criterion.backward()
            dy = self.dropout_out.backward(self.output.backward(dlogits))
            dx, _ = self.rnn.backward(dy)
            self.inputs.backward(dx)

    def _buffers(self) -> dict[str, Array]:
        """Return the carried state: `state.h` and, for an LSTM, `state.c`; empty after `reset`."""
        if self._state is None:
            return {}
        return dict(zip(self._state_names, arrays_of(self._state), strict=True))

    def load_buffers(self, buffers: Mapping[str, Array]) -> None:
        """Restore the state that `buffers` returned.

        Raises
        ------
        ValueError
            If the names are not those of the cell's state, or a shape does not fit.
        TypeError
            If a dtype is not the model's.
        """
        names = self._state_names
        if buffers and set(buffers) != set(names):
            raise ValueError(
                f"LanguageModel: buffers must be {', '.join(names)}, got {', '.join(buffers)}"
            )
        arrays: list[Array] = []
        for name in names if buffers else ():
            shape = arrays[0].shape if arrays else (self.rnn.num_layers, "N", self.rnn.hidden_size)
            came = check.array("LanguageModel", name, buffers[name], shape, self.rnn.dtype)
            arrays.append(came.copy())
        self._state = state_of(arrays) if arrays else None

    def perplexity(self, batches: BatchSource) -> float:
        """Return the perplexity: the exponential of the mean cross-entropy per token.

        The state starts at zeros and runs through all batches. The model's mode and the state
        carried by training do not change.

        Parameters
        ----------
        batches : batches of (inputs, targets)
            As for the trainer; the order is that of epoch 0.
        """
        return self.token_scores(batches).perplexity

    def token_scores(self, batches: BatchSource) -> TokenScores:
        """Return the loss and accuracy per token of all batches, as `perplexity` runs them."""
        with evaluating(self):
            return score_tokens("LanguageModel", self.criterion, self._outputs(batches))

    def _outputs(self, batches: BatchSource) -> Iterator[tuple[Array, Array]]:
        """Yield the logits and targets of each batch; the state runs through all batches."""
        state = None
        for inputs, targets in check.batches("LanguageModel", batches).epoch(0):
            logits, wanted, state = self._run(inputs, targets, state)
            yield logits, wanted

    def sample(
        self,
        start: npt.ArrayLike,
        length: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        exclude: Collection[int] = (),
        seed: Rng = None,
    ) -> Array:
        """Sample the continuation of a text from softmax(logits / temperature).

        Parameters
        ----------
        start : integer array (T,)
            The text, at least one token.
        length : int
            Number of tokens to draw; may be 0.
        temperature : float
            Divisor of the logits; 0 always takes the most probable token.
        top_k : int, optional
            Draw only from this number of most probable tokens.
        top_p : float, optional
            Then draw only from the smallest set of tokens whose probabilities sum to at least this
            fraction, in (0, 1], of those left (nucleus sampling).
        exclude : collection of int
            Tokens that are never drawn; at least one must remain.
        seed : int, numpy.random.Generator or None
            Seed or generator for the draws; the model's own generator is not used.

        Returns
        -------
        int64 array (length,)

        Raises
        ------
        ValueError, TypeError
            ValueError if an argument is out of range; TypeError if one has a wrong type.
        """
        start, length, options = self._sampling(
            start, length, temperature, exclude, seed, top_k=top_k, top_p=top_p
        )
        (tokens,) = self._pieces(start, length, max(length, 1), options)
        return tokens

    def stream(
        self,
        start: npt.ArrayLike,
        length: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        exclude: Collection[int] = (),
        seed: Rng = None,
    ) -> Iterator[Array]:
        """Sample as `sample` does, but yield the tokens in pieces, of any length in all.

        A piece takes about a tenth of a second or less, and memory is needed only for one. The same
        seed gives the draws of `sample`; the probabilities may differ by rounding.

        Parameters
        ----------
        start, length, temperature, top_k, top_p, exclude, seed
            As for `sample`.

        Yields
        ------
        int64 array (T,)
            The next tokens.

        Raises
        ------
        ValueError, TypeError
            As for `sample`; for `top_k` and `top_p` with the first piece.
        """
        start, length, options = self._sampling(
            start, length, temperature, exclude, seed, top_k=top_k, top_p=top_p
        )
        work = sum(p.size for layer in self.chain[1:] for p in layer.params.values())
        at_once = max(1, min(_TOKENS_AT_ONCE, _WORK_AT_ONCE // work))
        return self._pieces(start, length, at_once, options)

    def _sampling(
        self,
        start: npt.ArrayLike,
        length: int,
        temperature: float,
        exclude: Collection[int],
        seed: Rng,
        **options: Any,
    ) -> tuple[Array, int, dict[str, Any]]:
        """Check what sampling takes; return the start, the length and the options of `ops`."""
        owner = "LanguageModel"
        start = check.integers(owner, "start", start, ("length",), self.vocab_size)
        length = check.size(owner, "length", length, least=0)
        options["exclude"] = self._excluded(exclude)
        options["temperature"] = check.nonnegative(owner, "temperature", temperature)
        options["seed"] = int(check.seeded(owner, seed, "seed").integers(2**63))
        return start, length, options

    def _pieces(
        self, start: Array, length: int, at_once: int, options: dict[str, Any]
    ) -> Iterator[Array]:
        """Yield the continuation of a text, so many tokens at once; at least one piece."""
        ids, state = start, None
        for first in range(0, max(length, 1), at_once):
            count = min(at_once, length - first)
            with evaluating(self):
                _, state = self.rnn(self.embedding(ids[None, :-1]), state)
                decoded = ops.decode_sample(
                    self._decoder(),
                    arrays_of(state),
                    start=ids[-1],
                    end=None,
                    max_length=max(count, 1),
                    first=first,
                    **options,
                )
            tokens: Array = decoded.tokens[0, :count]
            yield tokens
            ids = np.concatenate([ids[-1:], tokens])

    def _decoder(self) -> ops.DecoderWeights:
        embedding, rnn, output = self.chain
        params = output.params
        return decoder_weights(
            rnn, embedding=embedding.params["W"], output=(params["W"], params["b"])
        )

    def _excluded(self, exclude: Collection[int]) -> Array:
        """Return a boolean array (V,) of the tokens that are never drawn."""
        owner, size = "LanguageModel", self.vocab_size
        tokens = np.array([check.integer(owner, "exclude", token) for token in exclude], np.int64)
        excluded = np.zeros(size, bool)
        excluded[check.integers(owner, "exclude", tokens, ("N",), size)] = True
        if excluded.all():
            raise ValueError(f"{owner}: exclude must leave one of the {size} tokens")
        return excluded
