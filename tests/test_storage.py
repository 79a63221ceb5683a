"""Files: what goes in comes out, and nothing else comes in."""

from __future__ import annotations

import os

import numpy as np
import pytest

from fastrnn import _storage


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "float32": rng.standard_normal((3, 4)).astype(np.float32),
        "transposed": rng.standard_normal((5, 2)).T,
        "sliced": rng.standard_normal((6, 6))[::2, 1::3],
        "swapped": rng.standard_normal(7).astype(">f8"),
        "scalar": np.array(-7, dtype=np.int64),
        "empty": np.zeros((0, 3), dtype=np.float32),
        "bool": rng.random(9) < 0.5,
    }


@pytest.fixture
def path(tmp_path, arrays):
    _storage.write(tmp_path / "a.safetensors", arrays, {"kind": "tëst 한"})
    return tmp_path / "a.safetensors"


def test_round_trip(path, arrays):
    read, metadata = _storage.read(path)
    assert metadata == {"kind": "tëst 한"}
    assert read.keys() == arrays.keys()
    for key, array in arrays.items():
        np.testing.assert_array_equal(read[key], array)
        assert read[key].dtype == array.dtype.newbyteorder("=")
        assert read[key].shape == array.shape
        assert read[key].flags.writeable


def test_the_same_contents_give_the_same_bytes(tmp_path, arrays):
    metadata = {name: "\u00e9" * len(name) for name in ("one", "two", "three", "four", "five")}
    files = [tmp_path / str(i) for i in range(8)]
    for file in files:  # the library's own order is another one in each call
        _storage.write(file, arrays, metadata)
    assert len({file.read_bytes() for file in files}) == 1
    read, again = _storage.read(files[0])
    assert again == metadata
    assert all(np.array_equal(read[key], array) for key, array in arrays.items())


def test_str_path(path, arrays):
    assert _storage.read(str(path))[0].keys() == arrays.keys()


def test_no_arrays(tmp_path):
    _storage.write(tmp_path / "none", {}, {"a": "b"})
    assert _storage.read(tmp_path / "none") == ({}, {"a": "b"})


def test_only_the_file_is_left(path):
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_what_is_no_file_is_not_replaced(tmp_path, arrays):
    pipe = tmp_path / "pipe"  # as /dev/null, which a test had better not try
    os.mkfifo(pipe)
    link = tmp_path / "link"
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(OSError, match="Not a regular file") as error:
            _storage.write(path, arrays, {})
        assert error.value.filename == str(path)
    assert pipe.is_fifo()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link", "pipe"]


def test_follows_a_link(path, tmp_path, arrays):
    link = tmp_path / "link"
    link.symlink_to(path)
    _storage.write(link, {"x": arrays["float32"]}, {})
    assert link.is_symlink()
    assert list(_storage.read(path)[0]) == ["x"]


def _full_disk(*_args):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_the_file_before(path, monkeypatch, call):
    before = path.read_bytes()
    monkeypatch.setattr(os, call, _full_disk)
    with pytest.raises(OSError, match=r"No space left on device: .*a\.safetensors'$"):
        _storage.write(path, {"x": np.ones(3)}, {})
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_temporary_file_that_cannot_be_removed_hides_nothing(path, monkeypatch):
    def refuse(self, missing_ok=False):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(os, "fsync", _full_disk)
    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    with pytest.raises(OSError, match=r"No space left on device: .*/a\.safetensors'$"):
        _storage.write(path, {"x": np.ones(3)}, {})


def test_writers_at_once_do_not_share_a_temporary_file(path, monkeypatch):
    used, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (used.append(a), replace(a, b)))
    for _ in range(2):
        _storage.write(path, {"x": np.ones(3)}, {})
    assert len(set(used)) == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_really_full_disk(path, monkeypatch):
    before = path.read_bytes()
    real = open
    monkeypatch.setattr(
        "builtins.open", lambda p, mode: real("/dev/full" if "w" in mode else p, mode)
    )
    with pytest.raises(OSError, match=r"No space left on device: .*a\.safetensors'$"):
        _storage.write(path, {"x": np.ones(3)}, {})
    assert path.read_bytes() == before


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing/a'"):
        _storage.write(tmp_path / "missing" / "a", {}, {})


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing'"):
        _storage.read(tmp_path / "missing")


def test_folder(tmp_path):
    with pytest.raises(OSError, match=str(tmp_path)):
        _storage.read(tmp_path)


def one_line_naming(path):
    return rf"^{path}: [^\n]+$"


def test_truncated_anywhere(path):
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=one_line_naming(path)):
            _storage.read(path)


def test_longer_than_it_says(path):
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(ValueError, match=one_line_naming(path)):
        _storage.read(path)


def test_empty_file(path):
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"the file is empty$"):
        _storage.read(path)


@pytest.mark.parametrize(
    "data",
    [
        b"PK\x03\x04" + bytes(100),
        b"a\tb\n" * 50,
        b"\xff" * 64,
        bytes(64),
        b"\x02" + bytes(7) + b"{}",
    ],
)
def test_foreign_bytes(path, data):
    path.write_bytes(data)
    with pytest.raises(ValueError, match=one_line_naming(path)):
        _storage.read(path)


def test_damaged_headers_are_errors_or_harmless(path):
    data = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(300):
        damaged = bytearray(data)
        damaged[rng.integers(0, 400)] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            _storage.read(path)
        except ValueError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_safetensors_of_somebody_else(path, metadata):
    from safetensors.numpy import save_file

    save_file({"x": np.arange(3.0)}, path, metadata)
    with pytest.raises(ValueError, match=r"not one written by fastrnn$"):
        _storage.read(path)


def test_later_format(path):
    from safetensors.numpy import save_file

    save_file({"x": np.arange(3.0)}, path, {"fastrnn": "2"})
    with pytest.raises(ValueError, match=r"file format 2, this fastrnn reads 1$"):
        _storage.read(path)


def test_read_any_reads_what_somebody_else_wrote(path):
    from safetensors.numpy import save_file

    save_file({"a.x": np.arange(3.0), "a.y": np.arange(2), "b.x": np.ones(1)}, path)
    assert _storage.read_any(path).keys() == {"a.x", "a.y", "b.x"}
    arrays = _storage.read_any(path, "a.")
    assert arrays.keys() == {"a.x", "a.y"}
    np.testing.assert_array_equal(arrays["a.x"], np.arange(3.0))


def test_read_any_of_a_damaged_file(path):
    data = path.read_bytes()
    for length in (0, 7, 100, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=one_line_naming(path)):
            _storage.read_any(path)
