"""A file of pairs read when they are asked for is the list of them, in little memory."""

from __future__ import annotations

import os
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrnn.data import (
    PairBatches,
    PairFile,
    Subset,
    TextPairBatches,
    Vocabulary,
    digest_of_pairs,
    read_pairs,
    split,
    split_rows,
)

SIDE = st.text(st.characters(codec="utf-8", exclude_characters="\t\r\n"), min_size=1).filter(
    str.strip
)
LINES = st.lists(
    st.tuples(SIDE, SIDE, st.sampled_from(["\n", "\r\n", "\tby someone\n", "\n\n", "\n\r\n\n"])),
    min_size=1,
    max_size=30,
)


def write(path, lines, head=b""):
    path.write_bytes(head + "".join(f"{s}\t{t}{end}" for s, t, end in lines).encode())
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pairs")


@settings(deadline=None, max_examples=60)
@given(LINES, st.sampled_from([b"", b"\xef\xbb\xbf", b"\n", b"\xef\xbb\xbf\n\n"]))
def test_is_the_list_that_read_pairs_gives(folder, lines, head):
    path = write(folder / "pairs.tsv", lines, head)
    pairs, file = read_pairs(path), PairFile(path)
    assert list(file) == pairs
    assert [file[i] for i in range(-len(pairs), len(pairs))] == pairs + pairs
    assert list(file[1::2]) == pairs[1::2]
    assert file.digest == digest_of_pairs(pairs)
    with pytest.raises(IndexError):
        file[len(pairs)]


def test_many_lines_and_a_last_one_without_an_end(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("\n".join(f"{i}\t{i * i}" for i in range(2000)))
    assert list(PairFile(path)) == [(str(i), str(i * i)) for i in range(2000)]


def test_threads_share_a_file_where_the_system_has_no_pread(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "pread")
    pairs = [(f"source {i}", "t" * (1 + i % 90)) for i in range(1000)]
    data = PairFile(write(tmp_path / "pairs.tsv", [(*pair, "\n") for pair in pairs]))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(data.__getitem__, range(1000))) == pairs
    assert list(data) == pairs


def test_the_same_errors_as_read_pairs(tmp_path):
    for data in (b"", b"\n", b"a\tb\nab\n", b"a\tb\n\nc\t \n", b"a\tb\nc\t\xff\n", b"a\tb\tc\td\n"):
        path = tmp_path / "pairs.tsv"
        path.write_bytes(data)
        with pytest.raises(ValueError) as listed:
            read_pairs(path)
        with pytest.raises(ValueError) as indexed:
            PairFile(path)
        assert str(indexed.value) == str(listed.value)
    with pytest.raises(FileNotFoundError):
        PairFile(tmp_path / "missing")


def test_a_pipe_cannot_be_read_twice(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)  # so that nobody waits for the other end
    with pytest.raises(ValueError, match=r"^PairFile: path must be a regular file, got .*pipe$"):
        PairFile(path)
    os.close(writer)


def test_the_file_is_closed_with_the_object(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_bytes(b"a\tb\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        file = PairFile(path)
        number = file._file.fileno()
        del file
        with pytest.raises(OSError):
            os.fstat(number)


def later(path, nanoseconds=5_000_000_000):
    """Make the file look as if it were written to later."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + nanoseconds))


@pytest.mark.parametrize(
    "data", [b"a\tb\ne\tf\n", b"a\tb\nc\td\ne\tf\n", b"a\tb\n", b"", b"a\tb\ncd\n\n", b"\xff" * 8]
)
def test_a_file_that_changes_is_noticed(tmp_path, data):
    path = tmp_path / "pairs.tsv"
    path.write_bytes(b"a\tb\nc\td\n")
    file = PairFile(path)
    assert file[0] == ("a", "b")
    path.write_bytes(data)
    later(path)
    for read in (lambda: file[0], lambda: file[1], lambda: list(file)):
        with pytest.raises(ValueError, match=f"^{path}: the file has changed since it was first"):
            read()


def test_another_time_and_a_replacement_do_not_matter(tmp_path):
    path, other = tmp_path / "pairs.tsv", tmp_path / "other.tsv"
    path.write_bytes(b"a\tb\nc\td\n")
    file = PairFile(path)
    later(path)
    assert file[1] == ("c", "d")
    other.write_bytes(b"x\ty\n")
    other.replace(path)
    assert list(file) == [("a", "b"), ("c", "d")]


def test_a_file_that_changes_while_it_is_indexed(tmp_path, monkeypatch):
    path = tmp_path / "pairs.tsv"
    path.write_bytes(b"a\tb\n")
    index = PairFile._index

    def index_and_append(self, starts):
        yield from index(self, starts)
        path.write_bytes(b"a\tb\nc\td\n")

    monkeypatch.setattr(PairFile, "_index", index_and_append)
    with pytest.raises(ValueError, match="has changed"):
        PairFile(path)


def test_the_digest_tells_pairs_and_their_order_apart():
    pairs = [("a", "b"), ("c", "d")]
    others = [pairs[::-1], pairs[:1], [("a", "bc"), ("", "d")], [("a", "b"), ("c", "e")]]
    digests = {digest_of_pairs(each) for each in (pairs, *others)}
    assert len(digests) == 5 and digest_of_pairs(iter(pairs)) in digests


@settings(deadline=None, max_examples=40)
@given(
    LINES,
    st.booleans(),
    st.booleans(),
    st.integers(1, 7),
    st.integers(0, 3),
    st.tuples(st.sampled_from(["char", "word"]), st.sampled_from(["char", "word"])),
)
def test_streamed_batches_are_those_in_memory(folder, lines, bucket, eos, size, epoch, levels):
    pairs = read_pairs(write(folder / "batches.tsv", lines))
    source, target = (
        Vocabulary.from_texts(texts, level=level, min_count=2)
        for texts, level in zip(zip(*pairs, strict=True), levels, strict=True)
    )
    options = {"batch_size": size, "bucket": bucket, "source_eos": eos, "seed": 3}
    whole = PairBatches(
        [source.encode(s) for s, _ in pairs], [target.encode(t) for _, t in pairs], **options
    )
    streamed = TextPairBatches(PairFile(folder / "batches.tsv"), source, target, **options)
    assert len(streamed) == len(whole)
    assert streamed.fingerprint() == whole.fingerprint()
    for one, other in zip(whole.epoch(epoch), streamed.epoch(epoch), strict=True):
        for array, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(array, same)
            assert array.dtype == same.dtype
        assert streamed.count_tokens(other) == (other[0] > 0).sum() + (other[2] > 0).sum()


def test_a_subset_is_the_split(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"{i}\t{i}\n" for i in range(50)))
    file = PairFile(path)
    parts = split_rows(len(file), 0.2, seed=4)
    assert [list(Subset(file, rows)) for rows in parts] == list(split(list(file), 0.2, seed=4))
    held_out = Subset(file, parts[1])
    assert list(held_out[2:5]) == [held_out[2], held_out[3], held_out[4]]


def test_memory_is_bounded(tmp_path):
    path, count, width = tmp_path / "large.tsv", 6_000, 4_000
    with open(path, "w") as file:
        file.writelines(f"{i % 50} {'x' * width}\t{'y' * width} {i % 70}\n" for i in range(count))
    tracemalloc.start()
    try:
        pairs = PairFile(path)
        source = Vocabulary.from_texts((s for s, _ in pairs), level="word")
        target = Vocabulary.from_texts((t for _, t in pairs), level="word")
        batches = TextPairBatches(pairs, source, target, batch_size=100, bucket=True)
        assert sum(len(lengths) for _, lengths, _ in batches.epoch(1)) == count
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 40_000_000
    assert peak < 4_000_000
