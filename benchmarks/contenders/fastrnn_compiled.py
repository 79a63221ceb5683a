"""fastrnn itself."""

from __future__ import annotations

from types import ModuleType
from typing import Any, ClassVar

import numpy as np

import fastrnn
from cases import WRITTEN, Array, Attention, BeamSearch, Recurrent, Seq2Seq
from contenders.base import Contender, Task
from fastrnn.data import EOS
from fastrnn.models import Seq2Seq as Seq2SeqModel
from fastrnn.training import Adam, clip_grad_norm


class Fastrnn(Contender):
    name = "fastrnn"
    cells = (*Contender.cells, *WRITTEN)
    backend: ClassVar[str] = "compiled"
    layers: ClassVar[ModuleType] = fastrnn

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        fastrnn.set_num_threads(threads)

    @classmethod
    def version(cls) -> str:
        return fastrnn.__version__

    def _layer(self, case: Recurrent, arrays: dict[str, Array]) -> Any:
        options = {"reset_after": case.splits_bias} if case.row.split_bias else {}
        layer = getattr(self.layers, case.row.title)(case.D, case.H, **options)
        for key, param in layer.params.items():
            param[...] = arrays[key.removesuffix("_l0")]
        return layer

    def inference(self, case: Recurrent) -> Task:
        arrays = case.arrays()
        layer, x, state = self._layer(case, arrays).eval(), arrays["x"], initial_state(arrays)
        return Task(lambda: layer(x, state), lambda result: [result[0], *rows(result[1])])

    def training(self, case: Recurrent) -> Task:
        arrays = case.arrays()
        layer, x, dy = self._layer(case, arrays), arrays["x"], arrays["dy"]
        state, dstate = initial_state(arrays), _state(arrays, "d{}")

        def run() -> Any:
            layer(x, state)
            return layer.backward(dy, dstate)

        return Task(run, lambda result: [result[0], *rows(result[1]), *layer.grads.values()])

    def step(self, case: Recurrent) -> Task:
        arrays = case.arrays()
        layer, x, state = self._layer(case, arrays).eval(), arrays["x"][:, 0], initial_state(arrays)
        return Task(lambda: layer.step(x, state), lambda result: rows(result[1]))

    def attention(self, case: Attention) -> Task:
        arrays, size = case.arrays(), case.size
        layer = self.layers.Attention(size, size, size, score=case.score)
        for key, weight in case.weights().items():
            layer.params[key][...] = weight
        query, keys, values, dcontext = arrays.values()

        def run() -> Any:
            context, _ = layer(query, keys, values)
            return context, *layer.backward(dcontext)

        return Task(run, lambda result: [*result, *layer.grads.values()])

    def seq2seq(self, case: Seq2Seq) -> Task:
        model, batch, optimizer = seq2seq_model(case), case.batch(), Adam(1e-3)

        def run() -> float:
            with fastrnn.backend(self.backend):
                loss = model.loss(*batch)
                model.backward()
                clip_grad_norm(model.grads, 5.0)
                optimizer.update(model.params, model.grads)
            return loss

        return Task(run, lambda loss: [np.array(loss), *_by_name(model.grads)])

    def beam_search(self, case: BeamSearch) -> Task:
        model, batch = beam_search_model(case), case.batch()

        def run() -> Any:
            with fastrnn.backend(self.backend):
                return model.beam_search(
                    *batch,
                    beam_size=case.beam_size,
                    max_length=case.max_length,
                    length_penalty=case.length_penalty,
                )

        return Task(run, lambda found: [np.array([best.score for (best,) in found])])


def beam_search_model(case: BeamSearch) -> Seq2SeqModel:
    """The model for the beam search of all contenders."""
    model = Seq2SeqModel(
        case.source_size,
        case.target_size,
        case.embedding_size,
        case.hidden_size,
        num_layers=2,
        decoder_layers=1,
        attention="general",
        bidirectional_encoder=True,
        rng=0,
    )
    model.params["decoder.output.W"][...] *= 20  # so that targets differ in probability
    model.params["decoder.output.b"][EOS] = -100
    return model.eval()


def seq2seq_model(case: Seq2Seq) -> Seq2SeqModel:
    """The model with the initial weights of all contenders."""
    return Seq2SeqModel(
        case.source_size,
        case.target_size,
        case.embedding_size,
        case.hidden_size,
        attention="dot",
        rng=0,
    )


def initial_state(arrays: dict[str, Array]) -> Any:
    """The state of a single layer before the first step."""
    return _state(arrays, "{}0")


def _state(arrays: dict[str, Array], name: str) -> Any:
    """The state arrays of a single layer, from `name` with h or c for {}."""
    parts = [arrays[name.format(part)][None] for part in "hcnm" if name.format(part) in arrays]
    return tuple(parts) if len(parts) > 1 else parts[0]


def rows(state: Any) -> list[Array]:
    """The arrays (N, H) of the state of a single layer."""
    return [array[0] for array in (state if isinstance(state, tuple) else (state,))]


def _by_name(arrays: dict[str, Array]) -> list[Array]:
    return [arrays[name] for name in sorted(arrays)]


CONTENDER = Fastrnn
