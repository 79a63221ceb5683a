"""Every allocation of every operation fails once: MemoryError, nothing changed, nothing leaked.

python tests/tools/failing_allocations.py                 # all operations, every allocation
python tests/tools/failing_allocations.py LSTM            # those with LSTM in their names
python tests/tools/failing_allocations.py --seconds 60    # then random configurations, too

It runs itself with `failing_allocations.c` in front of the C library. An operation runs with its
first allocation failing, then with its second, until it passes: those of NumPy's arrays and of the
kernels' work space. Each must raise MemoryError or give the right results;
parameters, gradients, moments and files must be as before; the same call must then be right; and
no block may be left over. Of random configurations some allocation fails, and results are compared.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from digests.record import flat
from random_configurations import Configuration
from support.problems import SCORES, decoder_problem

import fastrnn
from fastrnn import ops, training
from fastrnn._kernels.runtime import memory
from fastrnn._low_precision import FORMATS
from fastrnn.models import LanguageModel, Seq2Seq

SHIM = Path(__file__).with_suffix(".c")
LEAST = 64  # bytes
NEVER = 2**40
rng = np.random.default_rng(0)


class Operation(NamedTuple):
    """A call, and what it may not change when it fails."""

    call: Callable[[], Any]
    watched: Callable[[], Any] = tuple  # arrays and bytes, nested
    layer: Any = None  # whose generator is set back before a call is repeated


Make = Callable[[], Operation]


def normal(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype("float32")


def arrays_of(owner: Any) -> Any:
    """Parameters, gradients and buffers."""
    return [dict(owner.params), dict(owner.grads), dict(getattr(owner, "buffers", {}))]


def of_layer(
    build: Callable[[], Any], arguments: tuple[Any, ...], **options: Any
) -> dict[str, Make]:
    """Forward, backward and evaluation of a layer or a loss."""

    def ready(way: str) -> Operation:
        layer = build()
        outputs = layer(*arguments, **options)
        first = outputs[0] if isinstance(outputs, tuple) else outputs
        dy = np.cos(first) if isinstance(first, np.ndarray) else 1.0
        layer.backward(dy)
        if way == "backward":
            return Operation(
                lambda: [layer.backward(dy), dict(layer.grads)], partial(arrays_of, layer)
            )
        if way == "eval":
            layer.eval()
        return Operation(lambda: layer(*arguments, **options), partial(arrays_of, layer), layer)

    return {way: partial(ready, way) for way in ("forward", "backward", "eval")}


def of_recurrent(build: Callable[..., Any]) -> dict[str, Make]:
    """Everything that recurrent layers have besides."""
    x, ids, table = normal(4, 6, 20), rng.integers(0, 40, (4, 6)), normal(40, 20)
    lengths = np.array([6, 0, 3, 5])
    stack = {"num_layers": 3, "residual": True, "dropout": 0.2, "recurrent_dropout": 0.1}
    both = partial(build, bidirectional=True, **stack)
    named = {f"{way}/3": make for way, make in of_layer(both, (x,), lengths=lengths).items()}
    looked_up = of_layer(both, (ids,), lengths=lengths, embedding=table)
    named |= {f"{way}/embedding": make for way, make in looked_up.items()}

    def frozen(way: str, weights: str) -> Operation:
        layer = build(num_layers=2)
        call = partial(layer.freeze, weights)
        if way != "freeze":
            layer.freeze(weights)
            call = partial(layer.step, x[:, 0]) if way == "step" else partial(layer, x)
        return Operation(lambda: None if call() is layer else call(), partial(arrays_of, layer))

    def step() -> Operation:
        layer = build(num_layers=2)
        return Operation(partial(layer.step, x[:, 0]), partial(arrays_of, layer))

    named |= {
        f"frozen {way} {weights}": partial(frozen, way, weights)
        for way in ("freeze", "step", "call")
        for weights in ("float32", *FORMATS)
    }
    return named | of_layer(build, (x,)) | {"step": step}


def of_model(build: Callable[[], Any], batch: tuple[Any, ...], calls: Mapping[str, Any]) -> Any:
    """Loss and backward of a model, and what it generates."""

    def ready(way: str) -> Operation:
        model = build()
        model.loss(*batch)
        model.backward()
        if way == "loss":
            return Operation(lambda: model.loss(*batch), partial(arrays_of, model), model)
        if way == "backward":
            model.loss(*batch)
            return Operation(lambda: [model.backward(), model.grads], partial(arrays_of, model))
        if way == "freeze":
            return Operation(lambda: model.freeze() and None, partial(arrays_of, model))
        model.eval()
        return Operation(partial(calls[way], model), partial(arrays_of, model))

    return {way: partial(ready, way) for way in ("loss", "backward", "freeze", *calls)}


def of_optimizer(kind: Any) -> dict[str, Make]:
    """The first update, which makes the moments, a later one, and the state of another."""

    def ready(way: str) -> Operation:
        optimizer = kind(0.1)
        params = {name: np.full((20, 20), 0.5, "float32") for name in "ab"}
        grads = {name: np.full((20, 20), 0.25, "float32") for name in "ab"}
        if way != "first":
            optimizer.update(params, grads)
        watched = partial(lambda: [params, optimizer.state()])
        if way == "load":
            other = kind(0.1)
            other.update(params, grads)
            return Operation(lambda: optimizer.load_state(other.state()), watched)
        if way == "clip":
            return Operation(lambda: training.clip_grad_norm(grads, 0.1), lambda: [grads])
        return Operation(lambda: [optimizer.update(params, grads), params], watched)

    return {way: partial(ready, way) for way in ("first", "later", "load", "clip")}


def of_files() -> dict[str, Make]:
    """Saving over a file, and loading."""
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name, "model.safetensors")
    layer = fastrnn.LSTM(20, 20, rng=0)

    def ready(way: str) -> Operation:
        fastrnn.save(layer, path)
        other = fastrnn.GRU(20, 20, rng=0)
        call = partial(fastrnn.save, other, path)
        if way == "load":
            call = lambda: dict(fastrnn.load(path).params)  # noqa: E731
        left = lambda: [path.read_bytes(), sorted(os.listdir(folder.name))]  # noqa: E731
        return Operation(call, left)

    ready.folder = folder
    return {"save": partial(ready, "save"), "load": partial(ready, "load")}


def of_decoder(context: str) -> dict[str, Make]:
    """The decoder whose recurrence contains its attention."""
    sizes = {"N": 5, "T": 6, "S": 9, "E": 20, "H": 20, "M": 20, "R": 20, "A": 20, "layers": 2}
    problem = decoder_problem(
        "lstm", np.random.default_rng(3), context=context, dtype="float32", **sizes
    )

    def ready(way: str) -> Operation:
        if way == "forward":
            return Operation(lambda: ops.attention_decoder_forward(*problem.inputs)[:4])
        stash = ops.attention_decoder_forward(*problem.inputs)[4]
        return Operation(lambda: ops.attention_decoder_backward(*problem.upstream, stash))

    return {way: partial(ready, way) for way in ("forward", "backward")}


def operations() -> dict[str, Make]:
    """All operations by name."""
    found: dict[str, dict[str, Make]] = {}
    for name in ("RNN", "LSTM", "GRU", "GRU before"):
        options = {"reset_after": False} if "before" in name else {}
        build = partial(getattr(fastrnn, name.split()[0]), 20, 20, rng=0, **options)
        found[name] = of_recurrent(build)
    for score in SCORES:
        heads = 2 if score == "multi_head" else 1
        build = partial(fastrnn.Attention, 20, 20, 20, score=score, num_heads=heads, rng=0)
        arguments = normal(3, 5, 20), normal(3, 9, 20)
        found[f"Attention {score}"] = of_layer(build, arguments, lengths=[9, 2, 0])
    x, ids = normal(9, 20), rng.integers(0, 20, 9)
    found["Linear"] = of_layer(lambda: fastrnn.Linear(20, 20, rng=0), (x,))
    found["Embedding"] = of_layer(lambda: fastrnn.Embedding(20, 20, rng=0), (ids,))
    found["Dropout"] = of_layer(lambda: fastrnn.Dropout(0.5, rng=0), (x,))
    found["Tanh"] = of_layer(fastrnn.Tanh, (x,))
    found["SoftmaxCrossEntropy"] = of_layer(fastrnn.SoftmaxCrossEntropy, (x, ids))
    for context in ("input_feeding", "input"):
        found[f"attention decoder {context}"] = of_decoder(context)
    tokens = rng.integers(3, 30, (5, 8))
    found["LanguageModel"] = of_model(
        lambda: LanguageModel(30, 20, 20, num_layers=2, dropout=0.1, rng=0),
        (tokens, tokens),
        {"sample": lambda model: model.sample(tokens[0], 9, seed=1)},
    )
    attending = partial(Seq2Seq, 30, 30, 20, 20, attention="general", dropout=0.1, num_layers=2)
    for context in ("output", "input_feeding", "input"):
        build = partial(attending, context=context, rng=0)
        found[f"Seq2Seq {context}"] = of_model(
            build,
            (tokens, None, tokens),
            {
                "generate": lambda model: list(model.generate(tokens, max_length=9)),
                "sample": lambda model: list(model.sample(tokens, max_length=9, seed=1)),
                "beam_search": lambda model: [
                    list(best[0]) for best in model.beam_search(tokens, beam_size=3, max_length=9)
                ],
            },
        )
    for name in ("SGD", "Momentum", "AdaGrad", "RMSprop", "Adam"):
        found[name] = of_optimizer(getattr(training, name))
    found["files"] = of_files()
    return {f"{name}: {way}": make for name, ways in found.items() for way, make in ways.items()}


class Failing:
    """The C side."""

    def __init__(self) -> None:
        self._shim = ctypes.CDLL(None)
        self._shim.fail_allocation.argtypes = ctypes.c_long, ctypes.c_size_t
        self._shim.live_blocks.restype = self._shim.until_failure.restype = ctypes.c_long
        self._shim.learn(1)
        kept = [make(size) for size in (10, 100, 10_000) for make in (np.empty, np.zeros) * 20]
        self._shim.learn(0)
        assert self.run(1, lambda: np.zeros_like(kept[-1]))[0], "NumPy's allocations are not seen"
        assert self.run(1, lambda: memory.empty((9999,), np.float32))[0], "those of the kernels"

    def run(self, k: int, call: Callable[[], Any]) -> tuple[bool, Any, MemoryError | None]:
        """Let an allocation of a call fail: whether there was one, the result or the error."""
        memory.release()  # so that kept blocks do not serve
        self._shim.fail_allocation(k, LEAST)
        try:
            result, error = call(), None
        except MemoryError as raised:
            result, error = None, raised.with_traceback(None)
            raised.__context__ = raised.__cause__ = None
        finally:
            left = self._shim.until_failure()
            self._shim.fail_allocation(0, LEAST)
        return not left, result, error

    def count(self, call: Callable[[], Any]) -> tuple[int, Any]:
        """How many allocations a call makes, and its result."""
        memory.release()
        self._shim.fail_allocation(NEVER, LEAST)
        result = call()
        return NEVER - self._shim.until_failure(), result

    def live(self) -> int:
        """How many blocks exist."""
        gc.collect()
        memory.release()
        return self._shim.live_blocks()


def frozen_values(value: Any) -> list[tuple[str, Any]]:
    """What arrays hold now, by name."""
    return [
        (name, part.tobytes() if isinstance(part, np.ndarray) else part)
        for name, part in flat("", value)
    ]


def once(failing: Failing, make: Make, wanted: Any, k: int) -> bool:
    """Let the k-th allocation fail, and check; return whether there was one."""
    operation = make()
    before = frozen_values(operation.watched())
    state = operation.layer and operation.layer.rng.bit_generator.state
    failed, result, error = failing.run(k, operation.call)
    if error is not None:
        assert failed, "MemoryError without a failed allocation"
        assert frozen_values(operation.watched()) == before, (
            f"allocation {k}: a failed call changed something"
        )
        if state:
            operation.layer.rng.bit_generator.state = state
        result = operation.call()
    assert frozen_values(result) == wanted, f"allocation {k}: the results are not right"
    return failed


def check(failing: Failing, make: Make) -> int:
    """Check an operation; return how many allocations it has."""
    make().call()
    wanted = frozen_values(make().call())
    gc.freeze()  # what is there is not looked at again and again
    left = 0
    for _ in range(2):  # what is kept for good, such as a larger table, is kept once
        live, k = failing.live(), 1
        while once(failing, make, wanted, k):
            k += 1
        left = failing.live() - live
        if left <= 0:
            return k - 1
    raise AssertionError(f"{left} blocks are left over")


def check_random(failing: Failing, seconds: float, seed: int) -> int:
    """Let some allocations of random configurations fail; return how many."""
    numbers, end, tried = np.random.default_rng(seed), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        configuration = Configuration(int(numbers.integers(2**32)))
        if configuration.kind == "decoding":
            continue
        call = partial(configuration.results, configuration.dtype, 2)
        count, result = failing.count(call)
        wanted = frozen_values(result)
        for k in numbers.integers(1, count + 1, min(count, 3)):
            failed, result, error = failing.run(int(k), call)
            right = frozen_values(call() if error else result) == wanted
            assert right, f"allocation {k} of number {configuration.number}, {configuration}"
            tried += failed  # NumPy keeps small blocks, so that another run may ask for less
    return tried


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="operations whose names contain one of these")
    parser.add_argument("--seconds", type=float, default=0, help="of random configurations")
    parser.add_argument("--seed", type=int, default=np.random.SeedSequence().entropy % 2**32)
    options = parser.parse_args()
    if "fail_allocation" not in dir_of_process():
        return in_front()
    return run(options)


def run(options: argparse.Namespace) -> int:
    warnings.simplefilter("ignore")
    unraisable: list[Any] = []
    sys.unraisablehook = lambda report: unraisable.append(repr(report.exc_value))
    failing, counts, wrong, start = Failing(), {}, 0, time.monotonic()
    for name, make in operations().items():
        if options.names and not any(part in name for part in options.names):
            continue
        try:
            counts[name] = check(failing, make)
        except Exception as error:
            wrong += 1
            print(f"FAILED {name}: {error!r}", flush=True)
    if options.seconds:
        print(f"seed {options.seed}", flush=True)
        try:
            counts["random"] = check_random(failing, options.seconds, options.seed)
        except Exception as error:
            wrong += 1
            print(f"FAILED random: {error!r}", flush=True)
    for text in unraisable:
        print(f"FAILED: ignored by Python: {text}")
    print(
        f"{len(counts)} operations, {sum(counts.values())} allocations failed in turn,"
        f" {time.monotonic() - start:.0f} s; {wrong + len(unraisable)} wrong"
    )
    return int(bool(wrong or unraisable))


def dir_of_process() -> str:
    """What is loaded in front of the C library."""
    return os.environ.get("LD_PRELOAD", "").replace(SHIM.stem, "fail_allocation")


def in_front() -> int:
    """Run this file with the shim."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, f"{SHIM.stem}.so")
        compiler = [os.environ.get("CC", "gcc"), "-O2", "-shared", "-fPIC", "-o", str(library)]
        subprocess.run([*compiler, str(SHIM), "-ldl"], check=True)
        environment = {**os.environ, "LD_PRELOAD": str(library)}
        return subprocess.run([sys.executable, *sys.argv], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
