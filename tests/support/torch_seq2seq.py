"""The loss of a Seq2Seq written once more, in PyTorch: its own layers, loops and gradients.

Dropout is left out: it draws from another generator.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from fastrnn.models import Seq2Seq

LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
CELLS = {"lstm": torch.lstm_cell, "gru": torch.gru_cell, "rnn": torch.rnn_tanh_cell}


def loss_and_gradients(
    model: Seq2Seq, source: Any, lengths: Any, target: Any
) -> tuple[float, dict[str, np.ndarray[Any, Any]]]:
    """The same loss, by the parameters of `model` under their names, and their gradients."""
    params = {key: torch.tensor(param, requires_grad=True) for key, param in model.params.items()}
    twin = Twin(params, model.config())
    loss = twin.loss(*(torch.tensor(array) for array in (source, lengths, target)))
    loss.backward()
    return loss.item(), {key: param.grad.numpy() for key, param in params.items()}


class Twin:
    def __init__(self, params: dict[str, torch.Tensor], config: dict[str, Any]) -> None:
        self.params, self.config = params, config

    def __getattr__(self, name: str) -> Any:
        return self.config[name]

    def loss(self, source: Any, lengths: Any, target: Any) -> torch.Tensor:
        memory, state, summary = self.encode(source, lengths)
        mask = torch.arange(source.shape[1]) < lengths[:, None]
        tokens = torch.cat([torch.ones_like(target[:, :1]), target[:, :-1]], dim=1)
        logits = self.decode(tokens, state, summary, memory, mask)
        return cross_entropy(
            logits.flatten(0, 1),
            target.flatten(),
            ignore_index=0,
            label_smoothing=self.label_smoothing,
        )

    def encode(self, source: Any, lengths: Any) -> Any:
        if self.reverse_source:
            source = source.clone()
            for row, length in zip(source, lengths, strict=True):
                row[:length] = row[:length].flip(0)
        x = self.params["encoder.embedding.W"][source]
        finals = []
        for k in range(self.num_layers):
            packed = nn.utils.rnn.pack_padded_sequence(
                x, lengths, batch_first=True, enforce_sorted=False
            )
            y, final = self.encoder_layer(k, x.shape[-1])(packed)
            y, _ = nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])
            x = y + x if self.residual and k >= 2 else y
            parts = final if self.cell == "lstm" else (final,)
            finals.append([torch.cat(list(part), dim=-1) for part in parts])
        summary = finals[-1][0]
        state = finals[self.num_layers - self.decoder_layers :]
        return x, [self.bridged(k, arrays) for k, arrays in enumerate(state)], summary

    def encoder_layer(self, k: int, input_size: int) -> Any:
        """Layer k alone, called with our parameters in PyTorch's arrangement."""
        both = self.bidirectional_encoder
        size = self.hidden_size // (1 + both)
        layer = LAYERS[self.cell](
            input_size, size, batch_first=True, bidirectional=both, dtype=torch.float64
        )
        weights = {}
        for suffix in ("", "_reverse") if both else ("",):
            arrays = self.cell_weights("encoder.rnn", f"l{k}{suffix}")
            names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
            weights.update({name + suffix: w for name, w in zip(names, arrays, strict=True)})
        return lambda packed: functional_call(layer, weights, (packed,))

    def cell_weights(self, owner: str, layer: str) -> tuple[torch.Tensor, ...]:
        Wx, Wh, b = (self.params[f"{owner}.{name}_{layer}"] for name in ("Wx", "Wh", "b"))
        second = torch.zeros_like(b)
        if self.cell == "gru":
            bh = self.params[f"{owner}.bh_{layer}"]
            second = torch.cat([second[: 2 * len(bh)], bh])
        return Wx.T, Wh.T, b, second

    def bridged(self, k: int, arrays: list[torch.Tensor]) -> list[torch.Tensor]:
        if self.hidden_only:
            arrays = [arrays[0], *(torch.zeros_like(c) for c in arrays[1:])]
        if self.bridge is None:
            return arrays
        maps = [f"encoder.bridge.{name}_l{k}" for name in ("h", "c")[: len(arrays)]]
        mapped = [
            array @ self.params[f"{name}.W"] + self.params[f"{name}.b"]
            for name, array in zip(maps, arrays, strict=True)
        ]
        return [torch.tanh(array) for array in mapped] if self.bridge == "tanh" else mapped

    def decode(self, tokens: Any, state: Any, summary: Any, memory: Any, mask: Any) -> torch.Tensor:
        constant = summary if self.peeky else summary[:, :0]
        features = self.features(torch.zeros_like(summary), torch.zeros_like(summary))
        features = torch.zeros_like(features)
        W = self.params["decoder.embedding.W"]
        out = W.T if self.tie_embeddings else self.params["decoder.output.W"]
        logits = []
        for t in range(tokens.shape[1]):
            x = torch.cat([W[tokens[:, t]], constant], dim=1)
            if self.context == "input_feeding":
                x = torch.cat([x, features], dim=1)
            if self.context == "input":
                context = self.attend(state[-1][0], memory, mask)
                x = torch.cat([x, context], dim=1)
            h, state = self.stacked_cells(x, state)
            if self.attention is not None and self.context != "input":
                context = self.attend(h, memory, mask)
            features = h if self.attention is None else self.features(context, h)
            logits.append(torch.cat([features, constant], dim=1) @ out)
        return torch.stack(logits, dim=1) + self.params["decoder.output.b"]

    def stacked_cells(self, x: Any, state: Any) -> Any:
        new = []
        for k, arrays in enumerate(state):
            given = tuple(arrays) if self.cell == "lstm" else arrays[0]
            result = CELLS[self.cell](x, given, *self.cell_weights("decoder.rnn", f"l{k}"))
            new.append(list(result) if self.cell == "lstm" else [result])
            h = new[-1][0]
            x = h + x if self.residual and k >= 2 else h
        return x, new

    def features(self, context: Any, h: Any) -> torch.Tensor:
        both = torch.cat([context, h], dim=1)
        if self.readout == "concat":
            return both
        W, b = self.params["decoder.readout.W"], self.params["decoder.readout.b"]
        return torch.tanh(both @ W + b)

    def attend(self, query: Any, memory: Any, mask: Any) -> torch.Tensor:
        weights = {
            key.rpartition(".")[2]: value
            for key, value in self.params.items()
            if key.startswith("decoder.attention.")
        }
        if self.attention == "multi_head":
            return self.attend_with_heads(query, memory, mask, **weights)
        if self.attention == "additive":
            hidden = torch.tanh((query @ weights["Wq"])[:, None] + memory @ weights["Wk"])
            scores = hidden @ weights["v"]
        else:
            keys = memory @ weights["W"].T if self.attention == "general" else memory
            scores = torch.einsum("nh,nsh->ns", query, keys)
            if self.attention == "scaled_dot":
                scores = scores / memory.shape[2] ** 0.5
        attention = scores.masked_fill(~mask, -torch.inf).softmax(dim=1)
        return torch.einsum("ns,nsm->nm", attention, memory)

    def attend_with_heads(
        self, query: Any, memory: Any, mask: Any, Wq: Any, Wk: Any, Wv: Any, Wo: Any
    ) -> torch.Tensor:
        """By PyTorch's own function."""
        context, _ = nn.functional.multi_head_attention_forward(
            query[None],
            memory.transpose(0, 1),
            memory.transpose(0, 1),
            embed_dim_to_check=query.shape[1],
            num_heads=self.num_heads,
            in_proj_weight=None,
            in_proj_bias=None,
            bias_k=None,
            bias_v=None,
            add_zero_attn=False,
            dropout_p=0.0,
            out_proj_weight=Wo.T,
            out_proj_bias=None,
            key_padding_mask=~mask,
            use_separate_proj_weight=True,
            q_proj_weight=Wq.T,
            k_proj_weight=Wk.T,
            v_proj_weight=Wv.T,
        )
        return context[0]
