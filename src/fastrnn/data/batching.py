"""Batches in an order that depends only on the seed and the number of the epoch."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn import _check as check
from fastrnn.data.vocabulary import EOS, PAD, Vocabulary

Batch = tuple[NDArray[Any], ...]
Ids = NDArray[np.int64]
_BATCHES_PER_BUCKET = 50


def pad(sequences: Sequence[ArrayLike]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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
    return _pad(_id_arrays("pad", "sequences", sequences))


def _pad(rows: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    ids = np.full((len(rows), lengths.max(initial=0)), PAD, dtype=np.int64)
    for line, row in zip(ids, rows, strict=True):
        line[: len(row)] = row
    return ids, lengths


class _Shuffled(ABC):
    """The base class of batches of rows, shuffled in each epoch."""

    def __init__(
        self, count: int, batch_size: int, *, shuffle: bool, seed: int, drop_last: bool
    ) -> None:
        name = type(self).__name__
        _check_at_least(name, "batch_size", batch_size, 1)
        _check_at_least(name, "seed", seed, 0)
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

    def _cut(self, order: NDArray[np.int64], rng: np.random.Generator) -> list[NDArray[np.int64]]:
        return [order[i : i + self._batch_size] for i in range(0, len(order), self._batch_size)]

    @abstractmethod
    def _take(self, rows: NDArray[np.int64]) -> Batch:
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
        super().__init__(shapes[0][0], batch_size, shuffle=shuffle, seed=seed, drop_last=drop_last)

    def _take(self, rows: NDArray[np.int64]) -> Batch:
        return tuple(array[rows] for array in self._arrays)

    def _digest(self) -> str:
        return _digest_of(self._arrays)


class _PaddedPairs(_Shuffled):
    """The base class of padded batches of pairs, with known lengths and ids read on request.

    The constructor of a subclass passes all pairs once, with their end marks.
    """

    def __init__(self, count: int, *, bucket: bool, **options: Any) -> None:
        super().__init__(count, **options)
        self._bucket = bucket

    def _survey(self, pairs: Iterable[tuple[Ids, Ids]]) -> None:
        """Read all pairs once; keep the lengths of the sources and the digest."""
        digest = hashlib.blake2b(digest_size=16)
        lengths = np.empty((2, self._count), np.int32)
        for row, (source, target) in enumerate(pairs):
            digest.update(source.data)
            digest.update(target.data)
            lengths[:, row] = len(source), len(target)
        digest.update(lengths.data)
        self._lengths, self._text_digest = lengths[0].copy(), digest.hexdigest()

    @abstractmethod
    def _pair(self, row: int) -> tuple[Ids, Ids]:
        """Return the source and the target of a row, with their end marks."""

    def _digest(self) -> str:
        return self._text_digest

    def fingerprint(self) -> dict[str, Any]:
        """Return what the batches depend on by name, the data as a digest, as JSON values."""
        return {"bucket": self._bucket, **super().fingerprint()}

    def count_tokens(self, batch: Batch) -> int:
        """Return the number of tokens of a batch, sources and targets with their end marks."""
        _, lengths, target = batch
        return int(lengths.sum()) + int(np.count_nonzero(target))

    def _cut(self, order: NDArray[np.int64], rng: np.random.Generator) -> list[NDArray[np.int64]]:
        if not self._bucket:
            return super()._cut(order, rng)
        pool = np.arange(len(order)) // (_BATCHES_PER_BUCKET * self._batch_size)
        batches = super()._cut(order[np.lexsort((self._lengths[order], pool))], rng)
        return [batches[i] for i in rng.permutation(len(batches))] if self._shuffle else batches

    def _take(self, rows: NDArray[np.int64]) -> Batch:
        sources, targets = zip(*map(self._pair, rows.tolist()), strict=True)
        source, lengths = _pad(sources)
        target, _ = _pad(targets)
        return source, lengths, target


class PairBatches(_PaddedPairs):
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
        if len(sources) != len(targets):
            raise ValueError(f"PairBatches: {len(sources)} sources but {len(targets)} targets")
        super().__init__(
            len(sources),
            batch_size=batch_size,
            bucket=bucket,
            shuffle=shuffle,
            seed=seed,
            drop_last=drop_last,
        )
        self._sources = _id_arrays("PairBatches", "sources", sources, eos=source_eos)
        self._targets = _id_arrays("PairBatches", "targets", targets, eos=True)
        self._survey(zip(self._sources, self._targets, strict=True))

    def _pair(self, row: int) -> tuple[Ids, Ids]:
        return self._sources[row], self._targets[row]


class TextPairBatches(_PaddedPairs):
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
        super().__init__(
            len(pairs),
            batch_size=batch_size,
            bucket=bucket,
            shuffle=shuffle,
            seed=seed,
            drop_last=drop_last,
        )
        self._pairs = pairs
        self._source, self._target = source, target
        self._source_eos = source_eos
        self._survey(map(self._encode, pairs))

    def _pair(self, row: int) -> tuple[Ids, Ids]:
        return self._encode(self._pairs[row])

    def _encode(self, pair: tuple[str, str]) -> tuple[Ids, Ids]:
        source, target = pair
        return (
            self._source.encode(source, eos=self._source_eos),
            self._target.encode(target, eos=True),
        )


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
        _check_at_least("StreamBatches", "batch_size", batch_size, 1)
        _check_at_least("StreamBatches", "num_steps", num_steps, 1)
        stream = _id_array("StreamBatches", "ids", ids)
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


def _id_arrays(
    owner: str, name: str, sequences: Sequence[ArrayLike], *, eos: bool = False
) -> list[NDArray[np.int64]]:
    end = np.array([EOS] * eos, dtype=np.int64)
    return [
        np.concatenate([_id_array(owner, f"{name}[{i}]", sequence), end])
        for i, sequence in enumerate(sequences)
    ]


def _id_array(owner: str, name: str, ids: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(ids)
    if array.ndim != 1:
        raise ValueError(f"{owner}: {name} must have shape (T,), got {array.shape}")
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"{owner}: {name} must be integers, got {array.dtype}")
    return array.astype(np.int64)


def _check_at_least(owner: str, name: str, value: int, least: int) -> None:
    if check.integer(owner, name, value) < least:
        raise ValueError(f"{owner}: {name} must be at least {least}, got {value}")
