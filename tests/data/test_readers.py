from __future__ import annotations

import pytest

from fastrnn.data import read_pairs, read_text

COLUMNS = "source, tab, target, and at most one more column"


@pytest.fixture
def file(tmp_path):
    def write(data):
        path = tmp_path / "data.tsv"
        path.write_bytes(data)
        return path

    return write


def test_pairs(file):
    path = file("Guten Tag\t안녕하세요\n52+607 \t659 \n\n猫\tcat".encode())
    assert read_pairs(path) == [("Guten Tag", "안녕하세요"), ("52+607 ", "659 "), ("猫", "cat")]
    assert read_pairs(str(path)) == read_pairs(path)


def test_windows_file(file):
    assert read_pairs(file(b"\xef\xbb\xbfa\tb\r\nc\td\r\n")) == [("a", "b"), ("c", "d")]


def test_a_third_column_is_ignored(file):
    assert read_pairs(file(b"a\tb\tby someone\nc\td\t\n")) == [("a", "b"), ("c", "d")]


def test_text_is_normalized(file):
    path = file("\u1112\u1161\u11ab\te\u0301\n".encode())
    assert read_pairs(path) == [("\ud55c", "\u00e9")]
    assert read_text(path) == "\ud55c\t\u00e9\n"


def test_only_newlines_end_lines(file):
    assert read_pairs(file("a\x0b\u2028\tb\x85\n".encode())) == [("a\x0b\u2028", "b\x85")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", ": no pairs in the file"),
        (b"\n\r\n", ": no pairs in the file"),
        (b"a\tb\nab\n", f", line 2: no tab, want: {COLUMNS}"),
        (
            b"a\tb\n\n\nab",
            f", line 4: no tab, want: {COLUMNS}",
        ),
        (
            b"a\tb\tc\td\n",
            f", line 1: 3 tabs, want: {COLUMNS}",
        ),
        (b"a\tb\n\tb\n", ", line 2: the source is empty"),
        (b"a\tb\n \tb\n", ", line 2: the source is empty"),
        (b"a\tb\nc\td\na\t\r\n", ", line 3: the target is empty"),
        (b"a\tb\nc\t\xffd\n", ", line 2: byte 0xff is not UTF-8 text"),
        (b"\xff\xfea\x00\t\x00", ", line 1: byte 0xff is not UTF-8 text"),
        ("a\té\n".encode("latin-1"), ", line 1: byte 0xe9 is not UTF-8 text"),
        ("a\té".encode()[:-1], ", line 1: byte 0xc3 is not UTF-8 text"),
    ],
)
def test_bad_pairs(file, data, message):
    path = file(data)
    with pytest.raises(ValueError) as caught:
        read_pairs(path)
    assert str(caught.value) == f"{path}{message}"


def test_text(file):
    assert read_text(file("\ufeffeins\r\nzwei\n\n삼".encode())) == "eins\nzwei\n\n삼\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", ": no text in the file"),
        (b" \n\t\n", ": no text in the file"),
        (b"ok\n\nnot \x80 ok\n", ", line 3: byte 0x80 is not UTF-8 text"),
    ],
)
def test_bad_text(file, data, message):
    path = file(data)
    with pytest.raises(ValueError) as caught:
        read_text(path)
    assert str(caught.value) == f"{path}{message}"


@pytest.mark.parametrize("read", [read_pairs, read_text])
def test_no_file(read, tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        read(tmp_path / "missing")
