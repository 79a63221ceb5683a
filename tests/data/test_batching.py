from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrnn.data import EOS, Batches, PairBatches, StreamBatches, pad

RAGGED = st.lists(st.lists(st.integers(3, 99), max_size=7), min_size=1, max_size=40)
OPTIONS = st.fixed_dictionaries(
    {"batch_size": st.integers(1, 9), "shuffle": st.booleans(), "seed": st.integers(0, 5)}
)
quick = settings(deadline=None, max_examples=60)


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@quick
@given(RAGGED)
def test_pad(sequences):
    ids, lengths = pad(sequences)
    assert ids.dtype == lengths.dtype == np.int64
    assert ids.shape == (len(sequences), max(map(len, sequences)))
    for row, length, sequence in zip(ids, lengths, sequences, strict=True):
        assert row[:length].tolist() == sequence
        assert not row[length:].any()


def test_pad_nothing():
    ids, lengths = pad([])
    assert ids.shape == (0, 0) and lengths.shape == (0,)


def test_pad_bad():
    with pytest.raises(ValueError, match=r"^pad: sequences\[1\] must have shape \(T,\), got \(\)$"):
        pad([[1], 2])
    with pytest.raises(TypeError, match=r"^pad: sequences\[0\] must be integers, got float64$"):
        pad([[1.5]])


@quick
@given(st.integers(1, 40), st.booleans(), OPTIONS, st.integers(0, 3))
def test_batches_are_the_rows_once_each(count, drop_last, options, k):
    size = options["batch_size"]
    if drop_last:
        count = max(count, size)
    x = np.random.default_rng(0).standard_normal((count, 3))
    batches = Batches(x, np.arange(count), drop_last=drop_last, **options)
    epoch = list(batches.epoch(k))
    assert len(epoch) == len(batches)
    rows = np.concatenate([row for _, row in epoch])
    kept = count - count % size if drop_last else count
    assert len(set(rows.tolist())) == len(rows) == kept
    assert all(len(row) == size for _, row in epoch[: None if drop_last else -1])
    np.testing.assert_array_equal(np.concatenate([a for a, _ in epoch]), x[rows])
    if options["shuffle"]:
        order = np.random.default_rng([options["seed"], k]).permutation(count)
        np.testing.assert_array_equal(rows, order[:kept])
    else:
        np.testing.assert_array_equal(rows, np.arange(kept))


def test_order_depends_on_seed_and_epoch_only():
    x = np.arange(50)
    batches = Batches(x, batch_size=50, seed=1)
    orders = [tuple(next(batches.epoch(k))[0]) for k in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]
    assert orders[0] != tuple(next(Batches(x, batch_size=50, seed=2).epoch(0))[0])


@quick
@given(RAGGED, st.booleans(), st.booleans(), OPTIONS, st.integers(0, 3))
def test_pairs_come_back(sources, source_eos, bucket, options, k):
    targets = [[*source, 7] for source in sources]
    batches = PairBatches(sources, targets, source_eos=source_eos, bucket=bucket, **options)
    pairs = []
    epoch = list(batches.epoch(k))
    assert len(epoch) == len(batches)
    for source, lengths, target in epoch:
        assert source.dtype == lengths.dtype == target.dtype == np.int64
        assert source.shape[1] == lengths.max()
        assert (target[:, -1] == EOS).any()
        for s, n, t in zip(source.tolist(), lengths, target.tolist(), strict=True):
            assert not any(s[n:]) and not any(t[t.index(EOS) + 1 :])
            pairs.append((s[:n], t[: t.index(EOS)]))
    end = [EOS] * source_eos
    expected = [([*s, *end], t) for s, t in zip(sources, targets, strict=True)]
    assert sorted(pairs) == sorted(expected)
    if not options["shuffle"] and not bucket:
        assert pairs == expected
    for first, again in zip(epoch, batches.epoch(k), strict=True):
        assert equal(first, again)


def test_buckets_save_padding_and_still_shuffle():
    rng = np.random.default_rng(3)
    sources = [rng.integers(4, 9, n) for n in rng.integers(1, 60, 900)]

    def padding(**options):
        batches = PairBatches(sources, sources, batch_size=16, **options)
        return sum(int((s == 0).sum()) for s, _, _ in batches.epoch(0))

    assert padding(bucket=True) < padding() / 5
    batches = PairBatches(sources, sources, batch_size=16, bucket=True)
    widths = [[s.shape[1] for s, _, _ in batches.epoch(k)] for k in (0, 1)]
    assert widths[0] != widths[1] and widths[0] != sorted(widths[0])


@quick
@given(st.integers(1, 5), st.integers(1, 9), st.integers(0, 60))
def test_streams_are_contiguous(batch_size, num_steps, extra):
    ids = np.random.default_rng(extra).integers(0, 99, batch_size + 1 + extra)
    batches = StreamBatches(ids, batch_size=batch_size, num_steps=num_steps)
    epoch = list(batches.epoch(0))
    assert len(epoch) == len(batches)
    inputs, targets = (np.concatenate(part, axis=1) for part in zip(*epoch, strict=True))
    assert all(x.shape == y.shape == (batch_size, num_steps) for x, y in epoch[:-1])
    length = (len(ids) - 1) // batch_size
    np.testing.assert_array_equal(inputs.ravel(), ids[: batch_size * length])
    np.testing.assert_array_equal(targets.ravel(), ids[1 : batch_size * length + 1])
    assert all(equal(a, b) for a, b in zip(epoch, batches.epoch(5), strict=True))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Batches(np.arange(3), batch_size=0),
            "Batches: batch_size must be at least 1, got 0",
        ),
        (lambda: Batches(np.arange(3), batch_size=1, seed=-1), "Batches: seed must be at least 0"),
        (
            lambda: Batches(np.arange(3), batch_size=1.5),
            "Batches: batch_size must be an integer, got 1.5",
        ),
        (lambda: Batches(batch_size=1), r"Batches: arrays must share .* shapes \[\]"),
        (
            lambda: Batches(np.array(3), batch_size=1),
            r"Batches: arrays must share .* shapes \[\(\)\]",
        ),
        (
            lambda: Batches(np.arange(3), np.arange(4), batch_size=1),
            r"Batches: arrays must share their first axis, got shapes \[\(3,\), \(4,\)\]",
        ),
        (
            lambda: Batches(np.arange(0), batch_size=2),
            "Batches: 0 examples do not fill one batch of 2",
        ),
        (
            lambda: Batches(np.arange(3), batch_size=4, drop_last=True),
            "Batches: 3 examples do not fill one batch of 4",
        ),
        (
            lambda: PairBatches([[4]], [[4], [5]], batch_size=1),
            "PairBatches: 1 sources but 2 targets",
        ),
        (
            lambda: PairBatches([[4]], [[[4]]], batch_size=1),
            r"PairBatches: targets\[0\] must have shape \(T,\), got \(1, 1\)",
        ),
        (
            lambda: StreamBatches([4, 5, 6], batch_size=3, num_steps=2),
            "StreamBatches: 3 streams need at least 4 ids, got 3",
        ),
        (
            lambda: StreamBatches([4, 5, 6], batch_size=1, num_steps=0),
            "StreamBatches: num_steps must be at least 1, got 0",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises((ValueError, TypeError), match=f"^{message}"):
        make()


def fingerprints():
    """One of each kind of batches, as a function of the options to be changed."""
    x = np.arange(12.0).reshape(6, 2)
    ids = [[4, 5], [6], [7, 8], [9], [4], [5]]

    def batches(**options):
        return Batches(x, batch_size=2, **options).fingerprint()

    def pairs(sources=ids, targets=ids, **options):
        options = {"batch_size": 2, **options}
        return PairBatches(sources, targets, **options).fingerprint()

    return batches, pairs


def test_a_fingerprint_names_what_differs():
    batches, pairs = fingerprints()
    assert batches() == batches() and pairs() == pairs()
    for make, option, value in (
        (batches, "seed", 1),
        (batches, "shuffle", False),
        (pairs, "bucket", True),
        (pairs, "batch_size", 3),
        (pairs, "drop_last", True),
    ):
        one, other = make(), make(**{option: value})
        assert [key for key in one if one[key] != other[key]] == [option]
    for other in (
        pairs(sources=[[4], [5, 6], [7, 8], [9], [4], [5]]),  # the same ids, cut elsewhere
        pairs(targets=[[4, 5], [6], [7, 8], [9], [4], [6]]),
        pairs(source_eos=True),
    ):
        assert [key for key in other if pairs()[key] != other[key]] == ["digest of the data"]
    assert Batches(np.arange(4), batch_size=2).fingerprint() != (
        Batches(np.arange(4).reshape(2, 2), batch_size=2).fingerprint()
    )


def test_a_stream_has_a_fingerprint_and_tokens():
    def stream(ids, **options):
        return StreamBatches(ids, **{"batch_size": 2, "num_steps": 3, **options})

    one = stream(range(20))
    assert one.fingerprint() == stream(range(20)).fingerprint()
    assert one.fingerprint() != stream(range(1, 21)).fingerprint()
    assert one.fingerprint() != stream(range(20), num_steps=4).fingerprint()
    assert sum(one.count_tokens(batch) for batch in one.epoch(0)) == 18


def test_sequences_of_an_iterator():
    sources, targets = [[5, 6], [7], [8, 9, 4]], [[4], [5, 6], [7]]
    one = PairBatches(sources, targets, batch_size=2)
    other = PairBatches(iter(sources), map(list, targets), batch_size=2)
    assert one.fingerprint() == other.fingerprint()
    with pytest.raises(TypeError, match=r"^PairBatches: sources must be a sequence, got None$"):
        PairBatches(None, targets, batch_size=2)
