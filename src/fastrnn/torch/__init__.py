"""PyTorch's `LSTM`, `GRU` and `RNN` on fastrnn's kernels; `accelerate` puts them in a model.

No other package of fastrnn imports PyTorch, and ``import fastrnn`` does not import this one.
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError("fastrnn.torch needs PyTorch, which is not installed") from error

from fastrnn.torch.acceleration import Acceleration, accelerate
from fastrnn.torch.modules import GRU, LSTM, RNN

__all__ = ["GRU", "LSTM", "RNN", "Acceleration", "accelerate"]
