"""Mutations of files, for the tests of readers."""

from __future__ import annotations

import json
import re

import numpy as np

from fastrnn._storage import _begun_digest

NUMBERS = (
    b"-1",
    b"0",
    b"1",
    b"65",
    b"1000000000",
    b"9223372036854775807",
    b"1e400",
    b"NaN",
    b"null",
)
NUMBERS += (b"[]", b"{}", b'""', b"true", b"[" * 2000)
BYTES = (0, 1, 0x7F, 0x80, 0xFF)


def mutated(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Return a file with one to three random changes."""
    for _ in range(rng.integers(1, 4)):
        data = MUTATIONS[rng.integers(len(MUTATIONS))](data, others, rng)
    return data


def resealed(data: bytes) -> bytes:
    """Return a safetensors file of fastrnn with the digest of what it holds; others as they are."""
    size = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + size])
        metadata = header["__metadata__"]
        digest = _begun_digest(header)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return data
    if not isinstance(metadata.get("blake2b"), str):
        return data
    digest.update(data[8 + size :])
    return data.replace(metadata["blake2b"].encode(), digest.hexdigest().encode())


def _place(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    """Return the begin and end of a random part, mostly a short one."""
    begin = int(rng.integers(len(data) + 1))
    return begin, min(len(data), begin + int(rng.geometric(0.1)))


def _flip(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    if not data:
        return data
    changed, place = bytearray(data), rng.integers(len(data))
    changed[place] ^= 1 << rng.integers(8)
    return bytes(changed)


def _overwrite(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    begin, end = _place(data, rng)
    return data[:begin] + bytes([BYTES[rng.integers(len(BYTES))]]) * (end - begin) + data[end:]


def _truncate(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    return data[: rng.integers(len(data) + 1)]


def _remove(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    begin, end = _place(data, rng)
    return data[:begin] + data[end:]


def _repeat(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    begin, end = _place(data, rng)
    return data[:end] + data[begin:end] * int(rng.integers(1, 20)) + data[end:]


def _splice(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    other = others[rng.integers(len(others))]
    return data[: rng.integers(len(data) + 1)] + other[rng.integers(len(other) + 1) :]


def _number(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Put another value in the place of a number in text."""
    numbers = list(re.finditer(rb"\d+", data))
    if not numbers:
        return data
    found = numbers[rng.integers(len(numbers))]
    return data[: found.start()] + NUMBERS[rng.integers(len(NUMBERS))] + data[found.end() :]


def _whole_header(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Change a number in the header of a safetensors file and keep its length right."""
    size = int.from_bytes(data[:8], "little")
    if size > len(data) - 8:
        return data
    header = _number(data[8 : 8 + size], others, rng)
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


MUTATIONS = (_flip, _overwrite, _truncate, _remove, _repeat, _splice, _number)
MUTATIONS += (_whole_header, _whole_header)
