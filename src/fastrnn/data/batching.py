"""Batches in an order that depends only on the seed and the number of the epoch."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn import _check as check
from fastrnn.data.vocabulary import EOS, Vocabulary

Batch = tuple[NDArray[Any], ...]
Ids = NDArray[np.int64]
T = TypeVar("T")
_BATCHES_PER_BUCKET = 50


def pad(sequences: Sequence[ArrayLike]) -> tuple[Ids, Ids]:
    """Return sequences of ids as rows of one padded array.

    Parameters
    ----------
    sequences : sequence of N integer arrays (t,)

    Returns
    -------
    ids : int64 array (N, T)
        T is the longest length; padded with 0.
    lengths : int64 array (N,)
    """
    return check.padded(check.sequences("pad", "sequences", sequences))


class _Shuffled(ABC):
    """The base class of batches of rows, shuffled in each epoch."""

    def __init__(
        self, count: int, batch_size: int, shuffle: bool, seed: int, drop_last: bool
    ) -> None:
        name = type(self).__name__
        check.size(name, "batch_size", batch_size)
        check.size(name, "seed", seed, least=0)
        if count < (batch_size if drop_last else 1):
            raise ValueError(f"{name}: {count} examples do not fill one batch of {batch_size}")
        self._count = count
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._seed = seed
        self._drop_last = drop_last
        self._stop = count - count % batch_size if drop_last else count

    def __len__(self) -> int:
        return -(-self._stop // self._batch_size)

    def epoch(self, k: int) -> Iterator[Batch]:
        """Yield the batches of epoch `k`, counted from 0."""
        rng = np.random.default_rng([self._seed, k])
        order = rng.permutation(self._count) if self._shuffle else np.arange(self._count)
        for rows in self._cut(order[: self._stop], rng):
            yield self._take(rows)

    def fingerprint(self) -> dict[str, Any]:
        """Return what the batches depend on by name, the data as a digest, as JSON values."""
        return {
            "batch_size": self._batch_size,
            "shuffle": self._shuffle,
            "seed": self._seed,
            "drop_last": self._drop_last,
            "digest of the data": self._digest(),
        }

    @abstractmethod
    def _digest(self) -> str:
        """Return the digest of all rows in order."""

    def _cut(self, order: Ids, rng: np.random.Generator) -> list[Ids]:
        return [order[i : i + self._batch_size] for i in range(0, len(order), self._batch_size)]

    @abstractmethod
    def _take(self, rows: Ids) -> Batch:
        """Return the batch of these rows."""


class Batches(_Shuffled):
    """Batches of rows of arrays with the same first axis.

    Parameters
    ----------
    *arrays : ndarray
        Each (M, ...).
    batch_size : int
        The last batch of an epoch may be smaller.
    shuffle : bool
        Shuffle in each epoch; else keep the order of the arrays.
    seed : int
        Epoch k is shuffled by ``np.random.default_rng([seed, k])``.
    drop_last : bool
        Leave out a smaller last batch.
    """

    def __init__(
        self,
        *arrays: NDArray[Any],
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        self._arrays = tuple(np.asarray(array) for array in arrays)
        shapes = [array.shape for array in self._arrays]
        if len({shape[:1] for shape in shapes}) != 1 or shapes[0] == ():
            raise ValueError(f"Batches: arrays must share their first axis, got shapes {shapes}")
        super().__init__(shapes[0][0], batch_size, shuffle, seed, drop_last)

    def _take(self, rows: Ids) -> Batch:
        return tuple(array[rows] for array in self._arrays)

    def _digest(self) -> str:
        return _digest_of(self._arrays)


class _PaddedPairs(_Shuffled, Generic[T]):
    """The base class of padded batches of pairs, read and encoded one by one on request."""

    def __init__(
        self,
        pairs: Sequence[T],
        batch_size: int,
        bucket: bool,
        shuffle: bool,
        seed: int,
        drop_last: bool,
    ) -> None:
        super().__init__(len(pairs), batch_size, shuffle, seed, drop_last)
        self._pairs, self._bucket = pairs, bucket
        digest = hashlib.blake2b(digest_size=16)
        lengths = np.empty((2, self._count), np.int32)
        for row, (source, target) in enumerate(map(self._encode, pairs)):
            digest.update(source.data)
            digest.update(target.data)
            lengths[:, row] = len(source), len(target)
        digest.update(lengths.data)
        self._lengths, self._text_digest = lengths[0].copy(), digest.hexdigest()

    @abstractmethod
    def _encode(self, pair: T) -> tuple[Ids, Ids]:
        """Return the ids of a source and its target, with their end marks."""

    def _digest(self) -> str:
        return self._text_digest

    def fingerprint(self) -> dict[str, Any]:
        """Return what the batches depend on by name, the data as a digest, as JSON values."""
        return {"bucket": self._bucket, **super().fingerprint()}

    def count_tokens(self, batch: Batch) -> int:
        """Return the number of tokens of a batch, sources and targets with their end marks."""
        _, lengths, target = batch
        return int(lengths.sum()) + int(np.count_nonzero(target))

    def _cut(self, order: Ids, rng: np.random.Generator) -> list[Ids]:
        if not self._bucket:
            return super()._cut(order, rng)
        pool = np.arange(len(order)) // (_BATCHES_PER_BUCKET * self._batch_size)
        batches = super()._cut(order[np.lexsort((self._lengths[order], pool))], rng)
        return [batches[i] for i in rng.permutation(len(batches))] if self._shuffle else batches

    def _take(self, rows: Ids) -> Batch:
        pairs = (self._encode(self._pairs[row]) for row in rows.tolist())
        sources, targets = zip(*pairs, strict=True)
        source, lengths = check.padded(sources)
        target, _ = check.padded(targets)
        return source, lengths, target


class PairBatches(_PaddedPairs[tuple[Ids, Ids]]):
    """Padded batches of (source, target) pairs, for `fastrnn.models.Seq2Seq`.

    A batch is source (N, S), source_lengths (N,) and target (N, T), all int64, padded with 0;
    S and T are the longest lengths in the batch. Each target ends with eos.

    Parameters
    ----------
    sources, targets : sequences of integer arrays (t,)
        Ids without eos.
    batch_size : int
        The last batch of an epoch may be smaller.
    source_eos : bool
        Also end each source with eos, which counts in its length.
    bucket : bool
        Batch sources of similar length to save padding: every 50 batches of pairs are sorted by
        length and cut into batches, then the batches are shuffled.
    shuffle, seed, drop_last
        As for `Batches`.
    """

    def __init__(
        self,
        sources: Sequence[ArrayLike],
        targets: Sequence[ArrayLike],
        *,
        batch_size: int,
        source_eos: bool = False,
        bucket: bool = False,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        sources = check.items("PairBatches", "sources", sources)
        targets = check.items("PairBatches", "targets", targets)
        if len(sources) != len(targets):
            raise ValueError(f"PairBatches: {len(sources)} sources but {len(targets)} targets")
        pairs = zip(
            _ended("sources", sources, source_eos), _ended("targets", targets, True), strict=True
        )
        super().__init__(list(pairs), batch_size, bucket, shuffle, seed, drop_last)

    def _encode(self, pair: tuple[Ids, Ids]) -> tuple[Ids, Ids]:
        return pair


def _ended(name: str, sequences: Sequence[ArrayLike], eos: bool) -> Iterator[Ids]:
    end = np.full(int(eos), EOS, dtype=np.int64)
    for ids in check.sequences("PairBatches", name, sequences):
        yield np.concatenate([ids, end])


class TextPairBatches(_PaddedPairs[tuple[str, str]]):
    """The batches of `PairBatches`, read and encoded one by one, for pairs in a `PairFile`.

    The pairs are read once for their lengths. This object keeps 4 bytes per pair, and some 40 bytes
    per pair for the order of the current epoch.

    Parameters
    ----------
    pairs : sequence of (str, str)
    source, target : Vocabulary
    batch_size, source_eos, bucket, shuffle, seed, drop_last
        As for `PairBatches`.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[str, str]],
        source: Vocabulary,
        target: Vocabulary,
        *,
        batch_size: int,
        source_eos: bool = False,
        bucket: bool = False,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        self._source, self._target, self._source_eos = source, target, source_eos
        pairs = check.items("TextPairBatches", "pairs", pairs)
        super().__init__(pairs, batch_size, bucket, shuffle, seed, drop_last)

    def _encode(self, pair: tuple[str, str]) -> tuple[Ids, Ids]:
        source = self._source.encode(pair[0], eos=self._source_eos)
        return source, self._target.encode(pair[1], eos=True)


class StreamBatches:
    """Contiguous batches of one long text, for a language model that carries its state.

    The ids are cut into `batch_size` streams of equal length; the remainder is not used. Each batch
    continues the streams where the previous batch ended, as truncated backpropagation through time
    needs it, so nothing is shuffled.

    A batch is inputs (N, T) and targets (N, T), the inputs one step later. T is `num_steps`, or
    less in the last batch.

    Parameters
    ----------
    ids : integer array (M,)
    batch_size : int
    num_steps : int
    """

    def __init__(self, ids: ArrayLike, *, batch_size: int, num_steps: int) -> None:
        check.size("StreamBatches", "batch_size", batch_size)
        check.size("StreamBatches", "num_steps", num_steps)
        stream = check.integers("StreamBatches", "ids", ids, ("T",))
        length = (len(stream) - 1) // batch_size
        if length < 1:
            raise ValueError(
                f"StreamBatches: {batch_size} streams need at least {batch_size + 1} ids, "
                f"got {len(stream)}"
            )
        used = batch_size * length
        self._digest = _digest_of([stream])
        self._inputs = stream[:used].reshape(batch_size, length)
        self._targets = stream[1 : used + 1].reshape(batch_size, length)
        self._starts = range(0, length, num_steps)

    def __len__(self) -> int:
        return len(self._starts)

    def epoch(self, k: int) -> Iterator[Batch]:
        """Yield the batches, the same in each epoch."""
        for start in self._starts:
            steps = slice(start, start + self._starts.step)
            yield self._inputs[:, steps], self._targets[:, steps]

    def fingerprint(self) -> dict[str, Any]:
        """Return what the batches depend on by name, the data as a digest, as JSON values."""
        return {
            "batch_size": len(self._inputs),
            "num_steps": self._starts.step,
            "digest of the data": self._digest,
        }

    def count_tokens(self, batch: Batch) -> int:
        """Return the number of tokens of a batch."""
        return batch[0].size


def _digest_of(arrays: Iterable[NDArray[Any]]) -> str:
    """Return a digest of the arrays' shapes, dtypes and values."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
