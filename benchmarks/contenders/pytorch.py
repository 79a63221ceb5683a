"""PyTorch: nn.LSTM, nn.GRU and nn.RNN, time-major, which is fastest; eager mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from cases import Array, Attention, BeamSearch, Recurrent, Seq2Seq
from contenders.base import Contender, Task
from contenders.fastrnn_compiled import beam_search_model, seq2seq_model
from contenders.pytorch_beam_search import TorchBeamSearch
from fastrnn._cells import CELLS


class PyTorch(Contender):
    name = "PyTorch"
    cells = tuple(CELLS)

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        torch.set_num_threads(threads)

    @classmethod
    def version(cls) -> str:
        return torch.__version__

    def inference(self, case: Recurrent) -> Task:
        arrays = case.arrays()
        layer = getattr(nn, case.row.title)(case.D, case.H).eval()
        _load(layer, "_l0", arrays)
        x, state = _time_major(arrays["x"]), _joined(_states(arrays, "{}0"))

        def run() -> Any:
            with torch.inference_mode():
                return layer(x, state)

        def read(result: Any) -> list[Array]:
            y, final = result
            return [_numpy(y.transpose(0, 1)), *(_numpy(s[0]) for s in _listed(final))]

        return Task(run, read)

    def training(self, case: Recurrent) -> Task:
        arrays = case.arrays()
        layer = getattr(nn, case.row.title)(case.D, case.H)
        _load(layer, "_l0", arrays)
        x, states = _time_major(arrays["x"]), _states(arrays, "{}0")
        for tensor in (x, *states):
            tensor.requires_grad_()
        inputs = [x, *states, *layer.parameters()]
        upstream = [_time_major(arrays["dy"]), *_states(arrays, "d{}")]

        def run() -> Any:
            y, final = layer(x, _joined(states))
            return torch.autograd.grad([y, *_listed(final)], inputs, upstream)

        def read(grads: tuple[Tensor, ...]) -> list[Array]:
            dx, *dstates, dw_ih, dw_hh, db_ih, db_hh = grads
            ours = [dx.transpose(0, 1), *(d[0] for d in dstates), dw_ih.T, dw_hh.T, db_ih]
            if case.splits_bias:
                ours.append(db_hh[2 * case.H :])
            return [_numpy(tensor) for tensor in ours]

        return Task(run, read)

    def step(self, case: Recurrent) -> Task:
        arrays = case.arrays()
        cell = getattr(nn, f"{case.row.title}Cell")(case.D, case.H).eval()
        _load(cell, "", arrays)
        x = torch.from_numpy(arrays["x"][:, 0])
        state = _joined([s[0] for s in _states(arrays, "{}0")])

        def run() -> Any:
            with torch.inference_mode():
                return cell(x, state)

        return Task(run, lambda result: [_numpy(s) for s in _listed(result)])

    def attention(self, case: Attention) -> Task:
        *inputs, dcontext = (torch.from_numpy(a) for a in case.arrays().values())
        weights = [torch.from_numpy(w) for w in case.weights().values()]
        for tensor in (*inputs, *weights):
            tensor.requires_grad_()
        query, keys, values = inputs

        def run() -> Any:
            alignment = torch.softmax(_scores(case.score, query, keys, *weights), -1)
            context = alignment @ values
            return context, *torch.autograd.grad(context, [*inputs, *weights], dcontext)

        return Task(run, lambda result: [_numpy(t) for t in result])

    def seq2seq(self, case: Seq2Seq) -> Task:
        model = TorchSeq2Seq(case)
        source, lengths, target = (None if a is None else torch.from_numpy(a) for a in case.batch())
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=1e-3, fused=True)

        def run() -> float:
            optimizer.zero_grad()
            loss = model(source, lengths, target)
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 5.0)
            optimizer.step()
            return loss.item()

        return Task(run, lambda loss: [np.array(loss), *model.gradients()])

    def beam_search(self, case: BeamSearch) -> Task:
        searcher = TorchBeamSearch(beam_search_model(case))
        words = [word[:length] for word, length in zip(*case.batch(), strict=True)]
        options = {
            "beam_size": case.beam_size,
            "max_length": case.max_length,
            "length_penalty": case.length_penalty,
        }
        return Task(
            lambda: [searcher.search(word, **options) for word in words],
            lambda found: [np.array([best.score for best in found])],
        )


class TorchSeq2Seq(nn.Module):
    """`fastrnn.models.Seq2Seq` with an LSTM and dot attention, written in PyTorch."""

    def __init__(self, case: Seq2Seq) -> None:
        super().__init__()
        D, H = case.embedding_size, case.hidden_size
        self.source = nn.Embedding(case.source_size, D)
        self.encoder = nn.LSTM(D, H, batch_first=True)
        self.target = nn.Embedding(case.target_size, D)
        self.decoder = nn.LSTM(D, H, batch_first=True)
        self.output = nn.Linear(2 * H, case.target_size)
        params = seq2seq_model(case).params
        for name, (parameter, transposed) in self._named().items():
            value = torch.from_numpy(params[name])
            parameter.data.copy_(value.T if transposed else value)
        for rnn in (self.encoder, self.decoder):
            rnn.bias_hh_l0.data.zero_()
            rnn.bias_hh_l0.requires_grad_(False)  # one bias, as in fastrnn

    def forward(self, source: Tensor, lengths: Tensor | None, target: Tensor) -> Tensor:
        x = self.source(source)
        if lengths is None:
            memory, state = self.encoder(x)
        else:
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            memory, state = self.encoder(packed)
            memory, _ = pad_packed_sequence(memory, batch_first=True, total_length=x.shape[1])
        given = torch.cat([torch.ones_like(target[:, :1]), target[:, :-1]], 1)
        y, _ = self.decoder(self.target(given), state)
        scores = y @ memory.transpose(1, 2)
        if lengths is not None:
            padding = torch.arange(x.shape[1]) >= lengths[:, None]
            scores = scores.masked_fill(padding[:, None], -torch.inf)
        context = torch.softmax(scores, -1) @ memory
        logits = self.output(torch.cat([context, y], -1))
        return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=0)

    def gradients(self) -> list[Array]:
        """The gradients of the parameters in the order and shapes of fastrnn."""
        named = self._named()
        return [
            _numpy(parameter.grad.T if transposed else parameter.grad)
            for parameter, transposed in (named[name] for name in sorted(named))
        ]

    def _named(self) -> dict[str, tuple[nn.Parameter, bool]]:
        """The parameters under fastrnn's names, and whether fastrnn has them transposed."""
        named = {
            "encoder.embedding.W": (self.source.weight, False),
            "decoder.embedding.W": (self.target.weight, False),
            "decoder.output.W": (self.output.weight, True),
            "decoder.output.b": (self.output.bias, False),
        }
        for name, rnn in (("encoder", self.encoder), ("decoder", self.decoder)):
            named[f"{name}.rnn.Wx_l0"] = (rnn.weight_ih_l0, True)
            named[f"{name}.rnn.Wh_l0"] = (rnn.weight_hh_l0, True)
            named[f"{name}.rnn.b_l0"] = (rnn.bias_ih_l0, False)
        return named


def _load(layer: nn.Module, suffix: str, arrays: dict[str, Array]) -> None:
    """Copy fastrnn's weights into a layer or cell: transposed, with a second bias."""
    second = np.zeros_like(arrays["b"])
    if "bh" in arrays:
        second[-len(arrays["bh"]) :] = arrays["bh"]
    values = {
        "weight_ih": arrays["Wx"].T,
        "weight_hh": arrays["Wh"].T,
        "bias_ih": arrays["b"],
        "bias_hh": second,
    }
    for name, value in values.items():
        getattr(layer, name + suffix).data.copy_(torch.from_numpy(value))


def _scores(score: str, query: Tensor, keys: Tensor, *weights: Tensor) -> Tensor:
    if score == "additive":
        Wq, Wk, v = weights
        return torch.tanh((query @ Wq)[:, :, None] + (keys @ Wk)[:, None]) @ v
    if score == "general":
        query = query @ weights[0]
    elif score == "scaled_dot":
        query = query / keys.shape[-1] ** 0.5
    return query @ keys.transpose(1, 2)


def _time_major(array: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array.swapaxes(0, 1)))


def _states(arrays: dict[str, Array], name: str) -> list[Tensor]:
    """h (and c), (1, N, H), from `name` with h or c for {}."""
    names = [name.format(part) for part in "hc"]
    return [torch.from_numpy(arrays[name][None]) for name in names if name in arrays]


def _joined(states: list[Tensor]) -> Any:
    """The states as PyTorch's layers take them."""
    return tuple(states) if len(states) > 1 else states[0]


def _listed(state: Any) -> list[Tensor]:
    """The states as PyTorch's layers return them, in a list."""
    return list(state) if isinstance(state, tuple) else [state]


def _numpy(tensor: Tensor) -> Array:
    return tensor.detach().numpy()


CONTENDER = PyTorch
