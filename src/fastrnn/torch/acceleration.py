"""Replacement of PyTorch's recurrent modules in a model by fastrnn's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from fastrnn.torch.modules import GRU, LSTM, RNN, unsupported

_OURS: dict[type[torch.nn.Module], Any] = {
    torch.nn.RNN: RNN,
    torch.nn.LSTM: LSTM,
    torch.nn.GRU: GRU,
}


@dataclass(frozen=True)
class Acceleration:
    """The result of `accelerate`, by the names of `named_modules`.

    Attributes
    ----------
    replaced : list of str
        The replaced modules.
    left_alone : dict of str to str
        Other recurrent modules, with the reasons.
    """

    replaced: list[str]
    left_alone: dict[str, str]

    def __str__(self) -> str:
        """Return a line for each module."""
        lines = [f"{name or '(the model)'}: replaced" for name in self.replaced]
        for name, reason in self.left_alone.items():
            lines.append(f"{name or '(the model)'}: left alone, {reason}")
        return "\n".join(lines)


def accelerate(model: torch.nn.Module) -> Acceleration:
    """Make the `torch.nn.RNN`, `LSTM` and `GRU` modules of a model run on fastrnn's kernels.

    Each module stays the same object with its parameters, hooks and mode, and becomes an instance
    of fastrnn's subclass. Optimizers, references to it and the keys of `state_dict` stay valid.
    Modules are left alone if they are not on the CPU, not float32 or float64, have a `proj_size` or
    their own forward, or are cells.

    Parameters
    ----------
    model : torch.nn.Module
        May be one of these modules itself.

    Returns
    -------
    Acceleration
        The names of the replaced modules and of those left alone, with the reasons; printable.

    Raises
    ------
    TypeError
        If `model` is not a module.
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"accelerate: model must be a torch.nn.Module, got {type(model).__name__}")
    done = Acceleration([], {})
    for name, module in model.named_modules():
        if isinstance(module, tuple(_OURS.values())):
            continue
        if isinstance(module, (torch.nn.RNNBase, torch.nn.RNNCellBase)):
            reason = _obstacle(module)
            if reason is None:
                module.__class__ = _OURS[type(module)]
                done.replaced.append(name)
            else:
                done.left_alone[name] = reason
    return done


def _obstacle(module: torch.nn.RNNBase | torch.nn.RNNCellBase) -> str | None:
    """Return the reason why a module cannot be replaced, or None."""
    kind = type(module)
    if isinstance(module, torch.nn.RNNCellBase):
        return f"{kind.__name__} runs a single step, which we have no module for"
    if kind not in _OURS:
        return f"{kind.__name__} is a subclass, whose forward may be another"
    if "forward" in vars(module):
        return "its forward was replaced by another"
    return unsupported(module)
