"""PyTorch: the same loop over steps that `torch.compile` has compiled."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from contenders.pytorch_loop import Loop, States


class Compiled(Loop):
    name = "PyTorch compiled"

    def step_of(self, cell: str) -> Callable[..., States]:
        return _compiled(super().step_of(cell))


@cache
def _compiled(step: Callable[..., States]) -> Any:
    return torch.compile(step, dynamic=False)


# Each case has shapes of its own, and training sees other tensors than inference.
torch._dynamo.config.recompile_limit = 64

CONTENDER = Compiled
