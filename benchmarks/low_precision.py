"""Times layers with weights of fewer bits beside PyTorch and ONNX Runtime; prints a table.

python benchmarks/low_precision.py --threads 1 2 --rounds 7

Each column is the time of fastrnn with int8 / that of the contender. Results are compared with
those of float32 before; the errors are the largest ones.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic

import fastrnn as fr
from fastrnn.convert import to_onnx, to_torch
from harness import blas_threads
from machine import facts
from rounds import interleaved

OURS = "int8"
SIZES = [
    *((1, 1, H) for H in (128, 512, 1024)),
    *((1, 50, H) for H in (128, 512, 1024)),
    *((8, 20, H) for H in (128, 512)),
    *((32, 20, H) for H in (128, 512, 1024)),
    (128, 20, 256),
]
LARGEST_ERROR = 0.2  # of outputs below 1
NAMES = ("float32", "bfloat16", "PyTorch int8", "PyTorch bfloat16", "ONNX Runtime int8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="threads of each")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds")
    parser.add_argument("--sample", type=float, default=0.03, help="least seconds of a sample")
    options = parser.parse_args()
    print(*(f"{what}: {value}" for what, value in facts().items()), sep="\n")
    print("int8:", fr.cpu_info()["int8"], end="\n\n")
    print(f"| layer | threads | {' | '.join(f'int8 / {name}' for name in NAMES)} | errors |")
    print(f"| --- | ---: |{' ---: |' * len(NAMES)} --- |")
    warnings.simplefilter("ignore")
    for threads in options.threads:
        torch.set_num_threads(threads)
        fr.set_num_threads(threads)
        for kind in (fr.LSTM, fr.GRU):
            for size in SIZES:
                print(row(kind, size, threads, options.rounds, options.sample), flush=True)


def row(kind: Any, size: tuple[int, int, int], threads: int, rounds: int, sample: float) -> str:
    """One line of the table."""
    N, T, H = size
    layer = kind(H, H, rng=0).eval()
    x = np.random.default_rng(0).standard_normal((N, T, H)).astype(np.float32)
    calls = contenders(layer, x, threads)
    wanted, _ = layer(x)
    errors = {name: float(np.abs(call() - wanted).max()) for name, call in calls.items()}
    for name, error in errors.items():
        if error > LARGEST_ERROR:
            raise AssertionError(f"{kind.__name__} {size}: {name} is off by {error}")
    with blas_threads(threads):
        seconds = interleaved(calls, rounds, sample, threads)
    ratios = [f"{seconds[OURS] / seconds[name]:.2f}" if name in seconds else "" for name in NAMES]
    said = ", ".join(f"{name} {error:.3f}" for name, error in errors.items() if error > 1e-5)
    return f"| {kind.__name__} N{N} T{T} H{H} | {threads} | {' | '.join(ratios)} | {said} |"


def contenders(layer: Any, x: np.ndarray, threads: int) -> dict[str, Callable[[], np.ndarray]]:
    """Calls that return y, by name."""
    names = (OURS, "float32", "bfloat16")
    frozen = {name: copy.deepcopy(layer).freeze(name) for name in names}
    calls: dict[str, Callable[[], np.ndarray]] = {
        name: lambda own=own: own(x)[0] for name, own in frozen.items()
    }
    theirs, given = to_torch(layer).eval(), torch.from_numpy(x)
    kinds = {torch.nn.LSTM, torch.nn.GRU}
    quantized = torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(theirs), kinds)[0]
    half, given_half = to_torch(layer).eval().bfloat16(), given.bfloat16()
    calls["PyTorch int8"] = lambda: of_torch(quantized, given)
    calls["PyTorch bfloat16"] = lambda: of_torch(half, given_half)
    if isinstance(layer, fr.LSTM):  # ONNX Runtime has no GRU of 8 bits
        session = onnx_session(layer, threads)
        calls["ONNX Runtime int8"] = lambda: session.run(None, {"x": x})[0]
    return calls


def of_torch(module: Any, x: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        y: np.ndarray = module(x)[0].float().numpy()
    return y


def onnx_session(layer: Any, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as folder:
        path, small = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        to_onnx(layer, path)
        quantize_dynamic(path, small, weight_type=QuantType.QInt8, op_types_to_quantize=["LSTM"])
        return onnxruntime.InferenceSession(small, options, ["CPUExecutionProvider"])


if __name__ == "__main__":
    main()
