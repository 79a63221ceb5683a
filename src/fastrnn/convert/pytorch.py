"""PyTorch modules to fastrnn layers and back."""

from __future__ import annotations

from typing import Any

from fastrnn._cells import CELLS
from fastrnn.convert import loading
from fastrnn.convert.loading import Convertible
from fastrnn.convert.state_dicts import load_state_dict, state_dict
from fastrnn.layers import LSTMP, RECURRENT, Embedding, Layer, Linear
from fastrnn.layers.recurrent import RecurrentLayer, rebuilt

_RECURRENT = {cell.title: RECURRENT[cell.name] for cell in CELLS.values()}
_STACK = ("num_layers", "bidirectional", "dropout")  # what a cell does not have
_PLAIN = {
    "input_size": "in_features",
    "output_size": "out_features",
    "embedding_size": "embedding_dim",
}  # names of linear layers and embeddings
_OURS = "fastrnn.torch.modules"  # whose classes compute what PyTorch's do


def from_torch(module: Any) -> Convertible:
    """Build the fastrnn layer that computes the same as a PyTorch module.

    Parameters
    ----------
    module : torch.nn.RNN, LSTM, GRU, RNNCell, LSTMCell, GRUCell, Embedding or Linear
        On any device, in float32 or float64.

    Returns
    -------
    RNN, LSTM, LSTMP, GRU, Embedding or Linear
        With copies of the weights, in the module's dtype and train or eval mode. A cell becomes a
        layer whose `step` computes the same.

    Raises
    ------
    TypeError
        If the module has another class or dtype. A subclass is another class, because it may
        compute anything; those of `fastrnn.torch` are known.
    ValueError
        If it has an unsupported option: `max_norm`, `scale_grad_by_freq`, or dropout with
        probability 1; or if its forward has hooks, parametrizations or a replacement.

    Notes
    -----
    Layers are batch-first, whatever the module's `batch_first`. A module without biases becomes
    a layer with biases of 0. The row `padding_idx` of an embedding is copied unchanged; unlike
    PyTorch's, it has a gradient.
    """
    kind = _kind(module)
    weights = {key: tensor.detach().cpu() for key, tensor in module.state_dict().items()}
    dtype = str(next(iter(weights.values())).dtype).removeprefix("torch.")
    layer = _build(kind, module, dtype)
    load_state_dict(layer, weights)
    return layer if module.training else layer.eval()


def to_torch(layer: Layer, *, cell: bool = False) -> Any:
    """Build the PyTorch module that computes the same as a fastrnn layer.

    Parameters
    ----------
    layer : RNN, LSTM, LSTMP, GRU, Embedding or Linear
        A GRU must have ``reset_after=True``, as in PyTorch. Residual connections and, in train
        mode, `recurrent_dropout` are errors.
    cell : bool
        Build a ``*Cell`` module, from one layer in one direction.

    Returns
    -------
    torch.nn.Module
        On the CPU, with copies of the weights, in the layer's dtype and train or eval mode.
        Recurrent modules are batch-first and have both biases; `bias_hh` is 0 for gates with one
        bias in the layer.

    Raises
    ------
    TypeError
        If the layer has another class, or its class another forward.
    ValueError
        If PyTorch has no such layer.
    """
    known = (*loading.CONVERTIBLE, LSTMP)
    loading.check_layer("to_torch", layer, known)
    loading.check_own("to_torch", layer, known)
    import torch

    if isinstance(layer, RecurrentLayer) and layer.recurrent_dropout and layer.training:
        came = f"{layer.recurrent_dropout} in train mode"
        raise ValueError(f"to_torch: recurrent_dropout must be 0, as PyTorch has none, got {came}")
    if cell and not isinstance(layer, RecurrentLayer):
        raise ValueError(f"to_torch: cell=True needs a recurrent layer, got {type(layer).__name__}")
    arrays = state_dict(layer, cell=cell)
    name = next(cls.__name__ for cls in known if isinstance(layer, cls))
    name = "LSTM" if name == "LSTMP" else name  # with proj_size
    options = _options(layer, cell) | {"dtype": getattr(torch, layer.config()["dtype"])}
    module_class = getattr(torch.nn, name + "Cell" if cell else name)
    # On the meta device, because initial values would use the user's global generator.
    module = module_class(**options, device="meta").to_empty(device="cpu")
    module.load_state_dict({key: torch.from_numpy(array) for key, array in arrays.items()})
    return module.train(layer.training)


def _kind(module: Any) -> str:
    """Return the name of the module's class in PyTorch, or raise if its forward may be another."""
    import torch

    names = (*_RECURRENT, *(f"{name}Cell" for name in _RECURRENT), "Embedding", "Linear")
    kind = next((name for name in names if isinstance(module, getattr(torch.nn, name))), None)
    came = type(module).__name__
    if kind is None:
        wanted = ", ".join(f"nn.{name}" for name in names)
        raise TypeError(f"from_torch: module must be one of {wanted}, got {came}")
    if torch.nn.utils.parametrize.is_parametrized(module):
        advice = "use torch.nn.utils.parametrize.remove_parametrizations first"
        raise ValueError(f"from_torch: the {kind} must have no parametrizations: {advice}")
    if type(module) is not getattr(torch.nn, kind) and type(module).__module__ != _OURS:
        advice = f"if it computes what nn.{kind} does, load its state_dict() into one"
        wanted = f"module must be an nn.{kind}, got a subclass, {came}"
        raise TypeError(f"from_torch: {wanted}: {advice}")
    if "forward" in vars(module) or module._forward_hooks or module._forward_pre_hooks:
        advice = "the layer would not have them"
        raise ValueError(f"from_torch: the {kind} must have no hooks and no own forward: {advice}")
    return kind


def _build(kind: str, module: Any, dtype: str) -> Convertible:
    """Construct the layer with the options of the module."""
    if kind == "Linear":
        bias = module.bias is not None
        return Linear(module.in_features, module.out_features, bias=bias, dtype=dtype)
    if kind == "Embedding":
        _require(module, "max_norm", None)
        _require(module, "scale_grad_by_freq", False)
        return Embedding(module.num_embeddings, module.embedding_dim, dtype=dtype)
    options: dict[str, Any] = {"dtype": dtype}
    if hasattr(module, "nonlinearity"):
        options["nonlinearity"] = module.nonlinearity
    if not kind.endswith("Cell"):
        options |= {key: getattr(module, key) for key in _STACK}
    layer_class = _RECURRENT[kind.removesuffix("Cell")]
    if getattr(module, "proj_size", 0):
        layer_class, options["proj_size"] = LSTMP, module.proj_size
    layer: RecurrentLayer = rebuilt(layer_class, module.input_size, module.hidden_size, **options)
    return layer


def _require(module: Any, option: str, wanted: Any) -> None:
    """Raise unless an option has the required value."""
    came = getattr(module, option)
    if came != wanted:
        raise ValueError(f"from_torch: {option} must be {wanted}, got {came}")


def _options(layer: Layer, cell: bool) -> dict[str, Any]:
    """Return the arguments of the module's constructor."""
    config = layer.config()
    if not isinstance(layer, RecurrentLayer):
        return {_PLAIN.get(key, key): value for key, value in config.items()}
    left_out = ("reset_after", "recurrent_dropout", "residual", *(_STACK if cell else ()))
    options = {key: value for key, value in config.items() if key not in left_out}
    return options if cell else options | {"batch_first": True}
