"""Random configurations of all operations, layers and models: the kernels against the reference.

python tests/tools/random_configurations.py --seconds 60                 # prints its seed
python tests/tools/random_configurations.py --count 500 --seed 7 --simd avx2 generic
python tests/tools/random_configurations.py --only 81273 --simd avx2     # one of them again

A configuration is a case of `digests/` with other sizes, a dtype, arguments in random strides and
byte orders, an instruction set and a number of threads; or a decoding of `support/decoders.py`.
With one thread the results must be those of the reference up to rounding, with more threads they
must be the same bits, and no argument may have changed. What fails is printed with the arguments
that repeat it. `.ci/run` and `tests/tools/trust.sh` run this under checkers of memory.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import inspect
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from digests.record import Array, Draw, flat
from support.decoders import CELLS, CONTEXTS, MODES, assert_same, decode, random_decoder
from support.memory import resident_bytes
from support.numeric import assert_agree
from support.problems import SCORES

import fastrnn
from fastrnn._kernels.runtime import cpu, memory

# A module of `digests/`, or "decoding": of 20 configurations so many.
KINDS = {"maps": 4, "cells": 5, "decoders": 3, "layers": 4, "models": 1}
KINDS |= {"training": 0.5, "textbook": 0.5, "decoding": 2}
SHARES = np.array(list(KINDS.values())) / 20
# Around the widths of a vector, of a panel and of the loop of a single row.
WIDTHS = (1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 33, 65)
SIZES = {"V": (9, 60), "D": (1, 40), "N": (1, 9), "T": (1, 9), "rows": (1, 40)}  # least and most
AS_IN_TABLE = 0.1  # of the configurations have a size of the table, among which are large ones
IN_PLACE = ("_update", "_updated", "_scale", "_clipped")  # these take arrays as they lie only
BOUNDS = {"float32": 1e-5, "float64": 1e-11}
MOST_FAILURES = 5
MOST_GROWTH = 8  # MB, in nine tenths of a run


class Layouts(Draw):
    """Random inputs in random strides and byte orders."""

    def __init__(self, name: str, dtype: str) -> None:
        super().__init__(name, dtype)
        self._layouts = np.random.default_rng(self.seed + 1)
        self._given: list[tuple[Array, bytes]] = []

    def normal(self, *shape: int, scale: float = 1.0) -> Array:
        array = laid_out(super().normal(*shape, scale=scale), self._layouts)
        self._given.append((array, array.tobytes()))
        return array

    def like(self, value: Any) -> Any:
        """Plain arrays, as some are for outputs."""
        if isinstance(value, (tuple, list)):
            return type(value)(self.like(part) for part in value)
        return super().normal(*value.shape)

    def check_unchanged(self) -> None:
        assert all(array.tobytes() == data for array, data in self._given), "an argument changed"


def laid_out(array: Array, rng: np.random.Generator) -> Array:
    """The same numbers in other strides or in the other byte order."""
    way = rng.integers(8)
    if not array.size or not array.ndim:
        return array
    if way == 0:
        return np.asfortranarray(array)
    if way == 1:
        return array.astype(array.dtype.newbyteorder())
    if way == 2:  # backwards
        everywhere = (slice(None, None, -1),) * array.ndim
        return np.ascontiguousarray(array[everywhere])[everywhere]
    if way == 3:  # not aligned
        moved = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
        moved[...] = array
        return moved
    if way in (4, 5):  # a part of a wider array of NaN: every second element, or rows apart
        part = (..., slice(0, None, 2) if way == 4 else slice(1, array.shape[-1] + 1))
        wide = np.full((*array.shape[:-1], 2 * array.shape[-1] + 1), np.nan, array.dtype)
        wide = wide[..., : 2 * array.shape[-1]] if way == 4 else wide
        wide[part] = array
        return wide[part]
    return array


class Configuration:
    """What a number stands for."""

    def __init__(self, number: int) -> None:
        self.number, rng = number, np.random.default_rng(number)
        self.kind, self.dtype = str(rng.choice(list(KINDS), p=SHARES)), "float64"
        self.threads = int(rng.integers(2, 5))
        if self.kind == "decoding":
            self.name, self.sizes = sorted(MODES)[rng.integers(len(MODES))], decoder_sizes(rng)
            return
        cases = cases_of(self.kind)
        name, case = cases[rng.integers(len(cases))]
        self.name = f"{self.kind}/{name}"
        if self.kind == "textbook" or rng.random() < 0.5:
            self.dtype = "float32"
        self.function, self.sizes = getattr(case, "func", case), getattr(case, "keywords", {})
        if rng.random() >= AS_IN_TABLE:
            self.sizes = redrawn(self.function, self.sizes, rng)
        plain = self.function.__name__ in IN_PLACE or self.kind in ("models", "textbook")
        self.draw = Draw if plain or rng.random() < 0.4 else Layouts

    def __str__(self) -> str:
        return (
            f"{self.name} {self.sizes} {getattr(self, 'dtype', 'float64')}, {self.threads} threads"
        )

    def check(self) -> None:
        """Raise if the kernels do not do what they should."""
        if self.kind == "decoding":
            problem = random_decoder(np.random.default_rng(self.number), **self.sizes)
            assert_same(
                decode(self.name, problem, num_threads=self.threads),
                decode(self.name, problem, backend="reference"),
                1e-7,
            )
            return
        alone = self.results(self.dtype, 1)
        np.testing.assert_equal(self.results(self.dtype, self.threads), alone)
        names = [name for name in alone if self.follows_reference(name)]
        if not names:
            return
        wanted = self.results(self.dtype, 1, "reference")
        assert alone.keys() == wanted.keys()
        alone, wanted = ({name: part[name] for name in names} for part in (alone, wanted))
        try:
            assert_agree(alone, wanted, BOUNDS[self.dtype])
        except AssertionError:
            exact = self.results("float64", 1, "reference")
            assert_agree(alone, wanted, BOUNDS[self.dtype], exact)

    def results(self, dtype: str, threads: int, backend: str = "compiled") -> dict[str, Any]:
        """All that the case computes, by name."""
        fastrnn.set_num_threads(threads)
        draw = self.draw(f"{self.name}/{self.number}", dtype)
        with fastrnn.backend(backend):
            found = dict(flat("", self.function(draw, **self.sizes)))
        if isinstance(draw, Layouts):
            draw.check_unchanged()
        return {name: value for name, value in found.items() if value is not None}

    def follows_reference(self, path: str) -> bool:
        """Whether a result is the reference's up to rounding.

        Rounding decides where tokens are nearly as good as each other: what is generated, and what
        follows a token that was, is compared by the kind "decoding" only.
        """
        part = path.split("/")[1]
        if self.kind == "decoders":
            return "/decoding/" not in self.name
        return self.kind != "models" or (
            part in ("train", "eval", "0", "1", "2") and "sampled" not in self.name
        )


@cache
def cases_of(module: str) -> list[tuple[str, Any]]:
    return list(import_module(f"digests.{module}").cases())


def redrawn(function: Any, sizes: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """The arguments of a case with other sizes; the first two of many are numbers of rows."""
    sizes = dict(sizes)
    for name in inspect.signature(function).parameters:
        if name in SIZES:
            sizes[name] = int(rng.integers(*SIZES[name]))
        elif name in ("size", "shape"):
            widths = [int(rng.choice(WIDTHS)) for _ in sizes[name]]
            rows = [int(rng.integers(0, 15)) for _ in widths]
            sizes[name] = (*rows[:2], *widths[2:]) if len(widths) > 3 else (*rows[:1], *widths[1:])
    return sizes


def decoder_sizes(rng: np.random.Generator) -> dict[str, Any]:
    """Arguments of `random_decoder`."""
    named = {"cell": CELLS, "context": CONTEXTS, "score": SCORES, "V": (3, 4, 7, 19, 40)}
    named |= {"H": (1, 2, 5, 16, 17), "P": (0, 0, 3), "N": range(6), "S": range(1, 10)}
    named |= {"L": range(1, 5), "readout": (False, True), "residual": (False, True)}
    return {name: values[rng.integers(len(values))] for name, values in named.items()}


def numbers(options: argparse.Namespace) -> Iterator[int]:
    """Yield the numbers of the configurations to run."""
    if options.only is not None:
        yield options.only
        return
    rng, end = np.random.default_rng(options.seed), time.monotonic() + options.seconds
    for _ in range(options.count):
        if time.monotonic() >= end:
            return
        yield int(rng.integers(2**32))


def held() -> int:
    """How much memory the process needs: without what its allocators keep for later."""
    gc.collect()
    memory.release()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
    return resident_bytes()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=np.inf, help="run for so long")
    parser.add_argument("--count", type=int, default=sys.maxsize, help="run so many")
    parser.add_argument("--seed", type=int, help="of the numbers; default: a new one")
    parser.add_argument("--simd", nargs="+", default=cpu.supported(), help="instruction sets")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="run this configuration")
    parser.add_argument("--show", action="store_true", help="print each before it runs")
    parser.add_argument("--steady", action="store_true", help="fail if memory grows")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = np.random.SeedSequence().entropy % 2**32
    print(f"seed {options.seed}", flush=True)
    warnings.simplefilter("ignore")
    start, counts, failed, resident = time.monotonic(), Counter(), 0, []
    for number in numbers(options):
        configuration = Configuration(number)
        for simd in options.simd if options.only else [options.simd[number % len(options.simd)]]:
            arguments = f"--only {number} --simd {simd}"
            if options.show:
                print(f"{arguments}: {configuration}", flush=True)
            cpu.choose(simd)
            try:
                configuration.check()
            except Exception:
                traceback.print_exc(file=sys.stdout)
                print(f"FAILED {arguments}: {configuration}", flush=True)
                failed += 1
            counts.update([configuration.kind, simd])
        if failed == MOST_FAILURES:
            break
        if counts.total() % 400 < 2:
            resident.append(held())
    counted = ", ".join(f"{name} {counts[name]}" for name in (*KINDS, *options.simd))
    print(f"{counts.total() // 2} configurations in {time.monotonic() - start:.0f} s: {counted}")
    if options.steady:
        tenth = len(resident) // 10 or 1
        early, late = (max(part) >> 20 for part in (resident[tenth : 2 * tenth], resident[-tenth:]))
        print(f"MB resident after a tenth of the time and at the end: {early}, {late}")
        failed += late > early + MOST_GROWTH
    print(f"{failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
