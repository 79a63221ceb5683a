"""PyTorch's `LSTM`, `GRU` and `RNN` on the kernels of fastrnn; `accelerate` puts them in a model.

Nothing else in fastrnn imports PyTorch, and ``import fastrnn`` does not import this.
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError("fastrnn.torch needs PyTorch, which is not installed") from error

from fastrnn.torch.acceleration import Acceleration, accelerate
from fastrnn.torch.modules import GRU, LSTM, RNN

__all__ = ["GRU", "LSTM", "RNN", "Acceleration", "accelerate"]
