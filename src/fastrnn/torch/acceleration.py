"""Puts our modules in the place of PyTorch's, within a model."""

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
    """What `accelerate` did, by the names that `named_modules` gives.

    Attributes
    ----------
    replaced : list of str
        The modules that are ours now.
    left_alone : dict of str to str
        Recurrent modules that are not, and why.
    """

    replaced: list[str]
    left_alone: dict[str, str]

    def __str__(self) -> str:
        """Write a line for each module."""
        lines = [f"{name or '(the model)'}: replaced" for name in self.replaced]
        for name, reason in self.left_alone.items():
            lines.append(f"{name or '(the model)'}: left alone, {reason}")
        return "\n".join(lines)


def accelerate(model: torch.nn.Module) -> Acceleration:
    """Run the `torch.nn.RNN`, `LSTM` and `GRU` modules of a model on our kernels, in place.

    Each of them stays the same object, with its parameters, hooks and mode, and becomes an instance
    of our subclass: optimizers, references to it and the keys of `state_dict` remain good. Left
    alone are modules that are not on the CPU, or in another dtype than float32 and float64, or that
    have a `proj_size`; those with a forward of their own; cells.

    Parameters
    ----------
    model : torch.nn.Module
        Also one of these modules itself.

    Returns
    -------
    Acceleration
        The names of what was replaced and of what was left alone, with the reasons; print it.

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
    """Say why a module must stay as it is, if it must."""
    kind = type(module)
    if isinstance(module, torch.nn.RNNCellBase):
        return f"{kind.__name__} runs a single step, which we have no module for"
    if kind not in _OURS:
        return f"{kind.__name__} is a subclass, whose forward may be another"
    if "forward" in vars(module):
        return "its forward was replaced by another"
    return unsupported(module)
