"""fastrnn with frozen weights: packed once, steps into the same arrays."""

from __future__ import annotations

from typing import Any

from cases import Array, Recurrent
from contenders.base import Task
from contenders.fastrnn_compiled import Fastrnn, initial_state, rows


class Frozen(Fastrnn):
    name = "fastrnn frozen"

    @classmethod
    def answers(cls, question: str, case: Any) -> bool:
        return question in ("inference", "step") and super().answers(question, case)

    def step(self, case: Recurrent) -> Task:
        arrays = case.arrays()
        layer, x, state = self._layer(case, arrays), arrays["x"][:, 0], initial_state(arrays)
        out = layer.step(x, state)
        return Task(lambda: layer.step(x, state, out), lambda result: rows(result[1]))

    def _layer(self, case: Recurrent, arrays: dict[str, Array]) -> Any:
        return super()._layer(case, arrays).freeze()


CONTENDER = Frozen
