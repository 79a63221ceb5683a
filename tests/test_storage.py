"""Files: what goes in comes out, and nothing else comes in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import warnings

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
        code = 13 if self.exists() else 2
        raise OSError(code, os.strerror(code), str(self))

    monkeypatch.setattr(os, "fsync", _full_disk)
    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    with pytest.raises(OSError, match=r"No space left on device: .*/a\.safetensors'$"):
        _storage.write(path, {"x": np.ones(3)}, {})


def test_writers_at_once_wait_for_each_other(path):
    contents = [{"x": np.full(50_000, value)} for value in range(4)]
    errors = []

    def repeat(arrays):
        try:
            for _ in range(20):
                _storage.write(path, arrays, {})
        except Exception as error:  # which would be lost with the thread
            errors.append(error)

    threads = [threading.Thread(target=repeat, args=[arrays]) for arrays in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert len(set(_storage.read(path)[0].get("x", np.zeros(1)))) == 1
    assert not errors
    assert [p.name for p in path.parent.iterdir()] == [path.name]


KILLED = """
import os, signal, sys
from fastrnn import _storage
os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
_storage.write_bytes(sys.argv[1], bytes(1000))
"""


def test_what_killed_writers_leave_does_not_grow_and_is_removed(path):
    before = path.read_bytes()
    left = set()
    for _ in range(3):
        process = subprocess.run([sys.executable, "-c", KILLED, path], check=False)
        assert process.returncode == -signal.SIGKILL
        left |= {p.name for p in path.parent.iterdir() if p != path}
    assert 1 <= len(left) <= 2 and all(name.startswith(".fastrnn-") for name in left)
    assert path.read_bytes() == before
    _storage.write(path, {}, {})
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_link_in_the_place_of_a_temporary_file_is_not_followed(path, tmp_path):
    """Its name can be foreseen, and the folder may be everybody's."""
    subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    other = tmp_path / "other"
    other.write_bytes(b"precious")
    for left in tmp_path.glob(".fastrnn-*"):
        left.unlink()
        if left.suffix == ".tmp":
            left.symlink_to(other)
    _storage.write(path, {}, {})
    assert other.read_bytes() == b"precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name, "other"]


def test_the_folder_is_synced_after_the_renaming(path, monkeypatch):
    calls = []
    replace, fsync = os.replace, os.fsync

    def record(file):
        calls.append("folder" if os.path.samestat(os.fstat(file), path.parent.stat()) else "file")
        fsync(file)

    monkeypatch.setattr(os, "fsync", record)
    monkeypatch.setattr(os, "replace", lambda *paths: (calls.append("replace"), replace(*paths)))
    _storage.write(path, {}, {})
    assert calls == ["file", "replace", "folder"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_really_full_disk(path, monkeypatch):
    before = path.read_bytes()
    real = open
    monkeypatch.setattr(
        "builtins.open", lambda p, mode: real("/dev/full", "wb") if "x" in mode else real(p, mode)
    )
    with pytest.raises(OSError, match=r"No space left on device: .*a\.safetensors'$"):
        _storage.write(path, {"x": np.ones(3)}, {})
    assert path.read_bytes() == before


def test_links_that_lead_nowhere(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.symlink_to(other)
    other.symlink_to(one)
    for call in (lambda: _storage.write(one, {}, {}), lambda: _storage.read(one)):
        with pytest.raises(OSError, match="Too many levels of symbolic links") as error:
            call()
        assert error.value.filename == str(one)
    assert one.is_symlink() and other.is_symlink()


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


def replace(path, data):
    """Write a file anew, which is much faster than to truncate it and write it."""
    path.unlink()
    path.write_bytes(data)


def test_every_bit_counts(path):
    data = path.read_bytes()
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        replace(path, damaged)
        with pytest.raises(ValueError, match=one_line_naming(path)):
            _storage.read(path)


def test_a_mixture_of_two_files(path, arrays):
    one = path.read_bytes()
    _storage.write(path, {**arrays, "float32": arrays["float32"] + 1}, {"kind": "tëst 한"})
    other = path.read_bytes()
    length = 8 + int.from_bytes(one[:8], "little")
    path.write_bytes(one[:length] + other[length:])
    with pytest.raises(ValueError, match=r": damaged: its contents do not have the digest"):
        _storage.read(path)


def test_a_file_from_before_the_digests(path, arrays):
    from safetensors.numpy import save_file

    save_file({"x": np.arange(3.0)}, path, {"fastrnn": "1", "kind": "old"})
    with pytest.warns(UserWarning, match=f"^{path}: of an earlier fastrnn, without a") as caught:
        arrays, metadata = _storage.read(path)
    assert len(caught) == 1 and metadata == {"kind": "old"}
    _storage.write(path, arrays, metadata)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(_storage.read(path)[0]["x"], np.arange(3.0))


def test_a_file_that_lost_its_digest(path):
    from safetensors.numpy import save_file

    save_file({"x": np.arange(3.0)}, path, {"fastrnn": "2"})
    with pytest.raises(ValueError, match=f"^{path}: damaged: it has no digest$"):
        _storage.read(path)


# Reads a file that is truncated at the n-th call or return within the read, for every n.
READ_TRUNCATED = """
import os, sys
from fastrnn import _storage
path, read = sys.argv[1], getattr(_storage, sys.argv[2])
whole, outcomes, n, left = open(path, "rb").read(), set(), 0, -1
def count(frame, event, argument):
    global left
    left -= 1
    if left == 0:
        os.truncate(path, 200)
while left <= 0:
    with open(path, "wb") as file:
        file.write(whole)
    left = n = n + 1
    sys.setprofile(count)
    try:
        came = read(path)
        outcomes.add("read")
    except ValueError as error:
        outcomes.add("ValueError" if str(error).startswith(path) else str(error))
    sys.setprofile(None)
print(n > 10, sorted(outcomes))
"""


@pytest.mark.parametrize("read", ["read", "read_any"])
def test_a_file_that_is_truncated_while_it_is_read(path, read):
    """Where it is mapped, a read beyond its end ends the process."""
    _storage.write(path, {"x": np.ones(20_000)}, {})
    command = [sys.executable, "-c", READ_TRUNCATED, str(path), read]
    reader = subprocess.run(command, capture_output=True, text=True, check=False)
    wanted = "True ['ValueError', 'read']\n"
    assert (reader.returncode, reader.stdout) == (0, wanted), reader.stderr


def test_the_library_reads_what_is_written_and_rewritten(path, arrays):
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    read = load_file(path)
    assert read.keys() == arrays.keys()
    assert all(np.array_equal(read[key], array) for key, array in arrays.items())
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    save_file(read, path, metadata)  # the same contents have the same digest
    assert _storage.read(path)[1] == {"kind": "tëst 한"}


def write_raw(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def one(dtype="F64", shape=(1,), offsets=(0, 8), **more):
    return {"x": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}}


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 100_000,
        b'{"x":' * 100_000,
        b"[]",
        b"7",
        b"",
        b'{"x": NaN}',
        {"__metadata__": []},
        {"__metadata__": {"fastrnn": 1}},
        {"x": 7},
        {"x": {}},
        one(offsets=(8, 0)),
        one(offsets=(0,)),
        one(offsets=(0, 8.0)),
        one(offsets=(1, 9)),
        one(offsets=(0, 4)),
        one(offsets=(0, True)),
        one(shape=(2,)),
        one(shape=(-1, -1)),
        one(shape=(10**30,)),
        one(shape=[1] * 65),
        one(dtype=["F64"]),
        one(dtype="F32"),
        one(dtype="F8_\x1b[2J\n"),
        {"__metadata__": None, **one(), "y": one()["x"]},
        {**one(), "y": {"dtype": "F64", "shape": [0, 2**62], "data_offsets": [8, 8]}},
        {**one(), "y": {"dtype": "F64", "shape": [0] * 64, "data_offsets": [8, 9]}},
    ],
)
def test_hostile_headers(path, header):
    write_raw(path, header, bytes(8))
    for read in (_storage.read, _storage.read_any):
        with pytest.raises(ValueError, match=one_line_naming(path)):
            read(path)


def test_what_the_library_refuses_is_refused(path):
    """Mutations of the header, without a digest that would find each of them."""
    from safetensors.numpy import load, save

    data = save({"x": np.arange(3.0), "y": np.arange(4, dtype=np.int32)}, {"some": "text"})
    rng, accepted = np.random.default_rng(1), 0
    for _ in range(3000):
        damaged = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(8, len(data) - 40)] = rng.choice(list(b'0123456789[]{},:"FI '))
        replace(path, damaged)
        try:
            arrays = _storage.read_any(path)
        except ValueError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
        except TypeError:  # a dtype that NumPy has not
            continue
        else:
            accepted += 1
            theirs = load(bytes(damaged))
            assert all(np.array_equal(theirs[key], array) for key, array in arrays.items())
    assert accepted > 30


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_safetensors_of_somebody_else(path, metadata):
    from safetensors.numpy import save_file

    save_file({"x": np.arange(3.0)}, path, metadata)
    with pytest.raises(ValueError, match=r"not one written by fastrnn$"):
        _storage.read(path)


def test_later_format(path):
    from safetensors.numpy import save_file

    for version, shown in (("3", "3"), ("\x1b[2J\n", r"\\x1b\[2J\\n")):
        save_file({"x": np.arange(3.0)}, path, {"fastrnn": version})
        with pytest.raises(ValueError, match=f"file format {shown}, this fastrnn reads up to 2$"):
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


def test_read_any_reads_all_bytes_where_there_is_a_digest(path):
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ValueError, match=": damaged: its contents"):
        _storage.read_any(path, "float32")


def test_read_any_of_a_dtype_that_numpy_has_not(path):
    write_raw(path, {"bad\x1b]0;\n": one("BF16", (4,))["x"]}, bytes(8))
    with pytest.raises(TypeError, match=f"^{path}: bad.* has the dtype .*, which NumPy") as caught:
        _storage.read_any(path)
    assert str(caught.value).isprintable()
    assert _storage.read_any(path, "good") == {}


RESERVE = """
import sys, time
from fastrnn import _storage
with _storage.reserved(sys.argv[1]):
    print("reserved", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["itself", signal.SIGKILL])
def test_a_reserved_file(tmp_path, end):
    path, link = tmp_path / "model", tmp_path / "link"
    link.symlink_to(path)
    other = subprocess.Popen(
        [sys.executable, "-c", RESERVE, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout.readline() == b"reserved\n"
    for name in (path, link):
        with (
            pytest.raises(BlockingIOError, match="another run is writing this file") as caught,
            _storage.reserved(name),
        ):
            pass
        assert caught.value.filename == str(name)
    _storage.write(path, {}, {})  # a single write does not ask
    if end == "itself":
        other.stdin.close()
    else:
        other.send_signal(end)
    other.wait(timeout=60)
    other.stdout.close()
    with _storage.reserved(path):
        assert len(list(tmp_path.glob(".fastrnn-*"))) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "model"]


def test_an_error_of_the_body_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing'"), _storage.reserved(tmp_path / "model"):
        (tmp_path / "missing").read_bytes()


@pytest.mark.parametrize("left", [["lock"], ["tmp"], ["lock", "tmp"]])
def test_what_a_killed_writer_left_goes_with_the_next_reservation(tmp_path, left):
    path = tmp_path / "model"
    _storage.write(path, {}, {})
    for purpose in left:
        _storage._beside(path, purpose).write_bytes(b"")
    with _storage.reserved(path):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
