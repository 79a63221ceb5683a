"""The attention layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastrnn import _check as check
from fastrnn import ops
from fastrnn._check import Array, Rng
from fastrnn._renamed import renamed
from fastrnn.layers.base import Layer
from fastrnn.ops.attention import SCORES, check_heads

_SIZES = {"Dq": "query_size", "Dk": "key_size", "A": "attention_size", "Dv": "value_size"}


class Attention(Layer):
    """Each query's mean of the values, weighted by the softmax of its scores of the keys.

    Parameters
    ----------
    query_size, key_size : int, optional
        Widths of queries and keys; general, additive and multi_head need them.
    attention_size : int, optional
        Width in which additive compares them, and of all heads of multi_head together; the default
        is `query_size`.
    score : {"dot", "scaled_dot", "general", "additive", "multi_head"}
        The score of a query and a key; `fastrnn.ops.attention` has the formulas.
    num_heads : int, default 1
        Of multi_head; it divides `attention_size`.
    value_size : int, optional
        Width of the values, which multi_head needs to know; the default is `key_size`.
    dtype : dtype
        Of the weights: float32 or float64. Scores without weights take both.
    rng : numpy.random.Generator or int, optional
        What draws the initial weights.

    Notes
    -----
    The keys of `params` are W (query_size, key_size) for general, and for additive Wq (query_size,
    attention_size), Wk (key_size, attention_size) and v (attention_size,); multi_head has Wq and Wk
    of the same shapes, Wv (value_size, attention_size) and Wo (attention_size, value_size). All are
    drawn from normal distributions of variance 1 / rows.
    """

    _arguments = (*_SIZES.values(), "score", "num_heads", "dtype")

    def __init__(
        self,
        query_size: int | None = None,
        key_size: int | None = None,
        attention_size: int | None = None,
        *,
        score: str = "dot",
        num_heads: int = 1,
        value_size: int | None = None,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(rng)
        self.score = check.option(self._name, "score", score, SCORES)
        self.query_size = self._checked("query_size", query_size)
        self.key_size = self._checked("key_size", key_size)
        self.attention_size = self._checked("attention_size", attention_size, self.query_size)
        self.value_size = self._checked("value_size", value_size, self.key_size)
        self.num_heads = check_heads(self._name, score, num_heads, self.attention_size or 1)
        self.dtype = check.dtype(self._name, dtype)
        shapes = {
            key: tuple(self._needed(_SIZES[axis]) for axis in axes)
            for key, axes in SCORES[score].items()
        }
        check.parameters(self._name, [(shape, 1) for shape in shapes.values()], self.dtype)
        for key, shape in shapes.items():
            self._add(key, self._normal(shape, shape[0], self.dtype))

    def forward(
        self,
        query: Any,
        keys: Any,
        values: Any = None,
        *,
        lengths: Any = None,
        num_threads: int | None = None,
    ) -> tuple[Array, Array]:
        """Attend.

        Parameters
        ----------
        query, keys : array (N, Tq, query_size) and (N, Tk, key_size)
            Queries, and the keys with which they are scored.
        values : array (N, Tk, Dv), optional
            What is averaged; the default is the keys.
        lengths, num_threads
            As for `fastrnn.ops.attention`.

        Returns
        -------
        context : array (N, Tq, Dv)
            The weighted means.
        attention : array (N, Tq, Tk)
            The attention weights; with multi_head, their mean over the heads.

        Raises
        ------
        ValueError, TypeError
            ValueError if a shape or a length is wrong; TypeError if a dtype is.
        """
        params = tuple(self.param(key) for key in self.grads)
        arrays = (query, keys, keys if values is None else values, params)
        options: dict[str, Any] = {"score": self.score, "num_heads": self.num_heads}
        options |= {"lengths": lengths, "num_threads": num_threads, "backend": self._backend}
        if not self.training:
            return ops.attention(*arrays, **options)
        context, attention, stash = ops.attention_forward(*arrays, **options)
        self._tape = stash, values is None
        return context, attention

    @renamed(dweights="dattention")
    def backward(
        self, dcontext: Any, dattention: Any = None, *, num_threads: int | None = None
    ) -> tuple[Array, Array, Array | None]:
        """Compute the gradients, from those of the last forward in train mode; fill `grads`.

        Parameters
        ----------
        dcontext, dattention, num_threads
            As for `fastrnn.ops.attention_backward`.

        Returns
        -------
        dquery, dkeys, dvalues : array
            Gradients of the arguments. Where the keys were the values, dkeys is that of both and
            dvalues None.

        Raises
        ------
        ValueError, TypeError
            ValueError if a shape is wrong, or there was no forward in train mode; TypeError if a
            dtype is.
        """
        stash, shared = self._recorded()
        dquery, dkeys, dvalues, grads = ops.attention_backward(
            dcontext, dattention, stash, shared=shared, num_threads=num_threads
        )
        self._set_grads(dict(zip(self.grads, grads, strict=True)))
        return dquery, dkeys, dvalues

    def _checked(self, name: str, size: Any, default: int | None = None) -> int | None:
        return default if size is None else check.size(self._name, name, size)

    def _needed(self, name: str) -> int:
        """Return a size that the score needs."""
        size: int | None = getattr(self, name)
        if size is None:
            raise ValueError(f"{self._name}: score {self.score!r} needs {name}, got None")
        return size
