"""The measurements: records, and a file of them from which tables are rendered."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cases import Recurrent

FROZEN, PLAIN = "fastrnn frozen", "fastrnn"
PYTORCH, ONNX, OPENVINO, JAX = "PyTorch", "ONNX Runtime", "OpenVINO", "JAX"
LOOP, COMPILED = "PyTorch loop", "PyTorch compiled"
PEERS = (PYTORCH, LOOP, COMPILED, ONNX, OPENVINO, JAX)
LAYERS = ("inference", "training", "step")
"""The questions whose cases are single recurrent layers in float32."""


@dataclass(frozen=True)
class Record:
    """One case on one number of threads: a figure (seconds of a call, or bytes) of each contender.

    `limits` are the rates, in FLOPs or bytes a second, of "multiply-adds" and "reads" measured in
    the same rounds. The figures of question "scaling" are the speedups in several processes.
    """

    question: str
    case: str
    threads: int
    figures: dict[str, float]
    limits: dict[str, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, int]:
        return self.question, self.case, self.threads

    @cached_property
    def layer(self) -> Recurrent | None:
        """The case if it is a single recurrent layer."""
        return Recurrent.named(self.case) if self.question in LAYERS else None

    @property
    def ours(self) -> float:
        """The figure of fastrnn, frozen if there is one, as models are run."""
        return self.figures[FROZEN] if FROZEN in self.figures else self.figures[PLAIN]

    @property
    def ratio(self) -> float | None:
        """Figure of fastrnn / figure of the best peer; None if no peer has the operation."""
        return self._ratio_of(self.ours)

    @property
    def ratio_not_frozen(self) -> float | None:
        """The same without freezing; None if only one of the two was measured."""
        if not {FROZEN, PLAIN} <= self.figures.keys():
            return None
        return self._ratio_of(self.figures[PLAIN])

    def _ratio_of(self, figure: float) -> float | None:
        peers = [self.figures[name] for name in PEERS if name in self.figures]
        return figure / min(peers) if peers else None

    @property
    def speedup(self) -> float | None:
        """Time on one thread / time, the median over the processes."""
        return statistics.median(self.figures.values()) if self.question == "scaling" else None

    @property
    def peak_share(self) -> float | None:
        """FLOPs of the products / time / rate of bare multiply-adds."""
        if self.layer is None or "multiply-adds" not in self.limits:
            return None
        return self._flops / self.ours / self.limits["multiply-adds"]

    @property
    def streamed_bytes(self) -> int:
        """The size of the weights that every step reads: Wh, and in a single step Wx, too."""
        layer = self.layer
        recurrent = layer.weights * layer.H // (layer.D + layer.H)
        return 4 * (layer.weights if self.question == "step" else recurrent)

    @property
    def read_share(self) -> float | None:
        """Bytes of these weights / time / rate of a bare read of a block of that size."""
        if "reads" not in self.limits or self.question == "training":
            return None
        return self._read_seconds / self.ours

    @property
    def bound_share(self) -> float | None:
        """`read_share` plus the time of all other products at the FMA peak / time.

        In training the steps read the weights twice, forward and backward.
        """
        if "reads" not in self.limits or "multiply-adds" not in self.limits:
            return None
        passes = 2 if self.question == "training" else 1
        streamed = passes * 2 * self.layer.T * self.streamed_bytes / 4
        others = (self._flops - streamed) / self.limits["multiply-adds"]
        return (passes * self._read_seconds + others) / self.ours

    @property
    def limit_share(self) -> float | None:
        """Time of the products at the machine's limit / time of fastrnn.

        The limit is the FMA peak or, if a step has one row, the bandwidth of reading weights.
        """
        return self.peak_share if self.bound_share is None else self.bound_share

    @property
    def best_ratio(self) -> float | None:
        """The `ratio` of a program that runs at the machine's limit."""
        if self.ratio is None or self.limit_share is None:
            return None
        return self.ratio * self.limit_share

    @property
    def _flops(self) -> float:
        return self.layer.flops * (3 if self.question == "training" else 1)

    @property
    def _read_seconds(self) -> float:
        return self.layer.T * self.streamed_bytes / self.limits["reads"]


@dataclass
class Results:
    """The facts of a machine and the records measured on it; `page` names them all."""

    machine: dict[str, str] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    page: str = ""

    def add(self, records: Iterable[Record]) -> None:
        """Add records; they replace older ones of the same cases."""
        found = {record.key: record for record in self.records}
        self.records = list((found | {record.key: record for record in records}).values())

    def save(self, path: Path) -> None:
        """Write a file with a line for each record; figures have five digits."""
        records = ",\n".join(json.dumps(_rounded(asdict(record))) for record in self.records)
        facts = json.dumps({"page": self.page, "machine": self.machine}, indent=1)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".part")
        beside.write_text(f'{facts[:-2]},\n "records": [\n{records}\n]}}\n')
        beside.replace(path)  # an interrupted run leaves a complete file

    @classmethod
    def load(cls, *paths: Path) -> Results:
        """All records of several files; of the same case, the last file's."""
        results = cls()
        for path in paths:
            given = json.loads(path.read_text())
            results.page = given["page"]
            results.machine |= given["machine"]
            results.add(Record(**entry) for entry in given["records"])
        return results

    def of(
        self,
        question: str,
        threads: int | None = None,
        where: Callable[[Record], bool] = lambda record: True,
    ) -> list[Record]:
        """The records of a question, for all numbers of threads or one."""
        return [
            record
            for record in self.records
            if record.question == question and threads in (None, record.threads) and where(record)
        ]

    @property
    def threads(self) -> list[int]:
        """The numbers of threads that cases were measured on, in order; 0 is for others."""
        return sorted({record.threads for record in self.records} - {0})


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return float(f"{value:.5g}") if isinstance(value, float) else value


def geometric_mean(values: Iterable[float]) -> float:
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))
