"""The model of examples/g2p_cmudict.py and the same model in PyTorch, side by side.

    python benchmarks/g2p_twin.py --batches 300 --threads 1 2

Both start from the same weights and take the same batches in turn in one process, so that other
load on the machine affects both. The script prints, for each number of threads, target tokens per
second, their ratio (the median over sections of the run), and both losses averaged over the
sections. The draws of dropout differ; with `--dropout 0` the losses must agree batch by batch.

With `--beside input_feeding` the other model is fastrnn's with input feeding, which shows the cost
of attention inside the decoder in a whole training step.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import fastrnn
from fastrnn.convert import to_torch
from fastrnn.data import BOS, PAD, split
from fastrnn.models import Seq2Seq
from fastrnn.training import Adam, clip_grad_norm

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))
import g2p_cmudict as g2p

STRETCHES = 10
TURN = 5  # consecutive batches of one contender before the other's turn
PAUSE = 0.03  # seconds for the threads of one library to stop spinning before the other's turn

Batch = tuple[np.ndarray, np.ndarray, np.ndarray]


class TorchG2P(nn.Module):
    """A `Seq2Seq` with LSTMs, general attention and a tanh readout, in PyTorch."""

    def __init__(self, model: Seq2Seq) -> None:
        super().__init__()
        encoder, decoder = model.encoder, model.decoder
        self.source, self.target = to_torch(encoder.embedding), to_torch(decoder.embedding)
        self.encoder, self.decoder = to_torch(encoder.rnn), to_torch(decoder.rnn)
        self.score = nn.Parameter(torch.from_numpy(decoder.attention.params["W"].copy()))
        self.readout = to_torch(decoder.readout.layers["readout"])
        self.output = to_torch(decoder.output)
        self.dropout = nn.Dropout(model.config()["dropout"])
        self.embedding_dropout = nn.Dropout(model.config()["embedding_dropout"])
        for rnn in (self.encoder, self.decoder):
            for name, parameter in rnn.named_parameters():
                if name.startswith("bias_hh"):
                    parameter.requires_grad_(False)  # one bias, as in fastrnn
        self.criterion = nn.CrossEntropyLoss(
            ignore_index=PAD, label_smoothing=model.config()["label_smoothing"]
        )

    def forward(self, source: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        x = self.embedding_dropout(self.source(source))
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        memory, state = self.encoder(packed)
        memory, _ = pad_packed_sequence(memory, batch_first=True, total_length=x.shape[1])
        state = tuple(self._joined(part)[-self.decoder.num_layers :] for part in state)
        given = torch.cat([torch.full_like(target[:, :1], BOS), target[:, :-1]], 1)
        h, _ = self.decoder(self.embedding_dropout(self.target(given)), state)
        scores = h @ self.score @ memory.transpose(1, 2)
        padding = torch.arange(x.shape[1]) >= lengths[:, None]
        alignment = torch.softmax(scores.masked_fill(padding[:, None], -torch.inf), -1)
        context = alignment @ memory
        features = torch.tanh(self.readout(torch.cat([context, h], -1)))
        logits = self.output(self.dropout(features))
        return self.criterion(logits.flatten(0, 1), target.flatten())

    @staticmethod
    def _joined(state: Tensor) -> Tensor:
        """(layers * 2, N, H) -> (layers, N, 2 * H)."""
        return torch.cat([state[0::2], state[1::2]], -1)


def fastrnn_step(model: Seq2Seq) -> Callable[[Batch], float]:
    optimizer = Adam(g2p.LEARNING_RATE)

    def step(batch: Batch) -> float:
        loss = model.loss(*batch)
        model.backward()
        grads = model.grads
        clip_grad_norm(grads, g2p.MAX_GRAD_NORM)
        optimizer.update(model.params, grads)
        return loss

    return step


def torch_step(module: TorchG2P) -> Callable[[Batch], float]:
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=g2p.LEARNING_RATE, fused=True)

    def step(batch: Batch) -> float:
        optimizer.zero_grad()
        loss = module(*map(torch.from_numpy, batch))
        loss.backward()
        nn.utils.clip_grad_norm_(trained, g2p.MAX_GRAD_NORM)
        optimizer.step()
        return loss.item()

    return step


def run(steps: dict[str, Callable[[Batch], float]], batches: Iterator[Batch], pause: float) -> Any:
    """Seconds and losses of each contender on each batch, and the tokens of the batches."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    losses: dict[str, list[float]] = {name: [] for name in steps}
    tokens = []
    names = list(steps)
    while turn := list(islice(batches, TURN)):
        tokens += [int((batch[2] != PAD).sum()) for batch in turn]
        names.append(names.pop(0))
        for name in names:
            time.sleep(pause)
            for batch in turn:
                start = time.perf_counter()
                losses[name].append(steps[name](batch))
                seconds[name].append(time.perf_counter() - start)
    return seconds, losses, tokens


def show(threads: int, seconds: Any, losses: Any, tokens: list[int]) -> None:
    (own, other), (ours, theirs) = seconds, map(np.array, seconds.values())
    parts = np.array_split(np.arange(len(tokens)), min(STRETCHES, len(tokens)))
    ratio = statistics.median(theirs[part].sum() / ours[part].sum() for part in parts)
    print(f"\n{threads} threads, {len(tokens)} batches")
    for name, times in seconds.items():
        print(f"  {name:13} {sum(tokens) / sum(times):8.0f} tokens/s")
    print(f"  tokens per second, {own} in {other}: {ratio:.2f}; the other way {1 / ratio:.2f}")
    print(f"  {'batches':>12} {own:>8} {other:>8}  loss")
    for part in parts:
        a, b = (np.mean([values[i] for i in part]) for values in losses.values())
        print(f"  {part[0] + 1:5}..{part[-1] + 1:5} {a:8.4f} {b:8.4f}")
    gap = max(abs(a - b) for a, b in zip(*losses.values(), strict=True))
    print(f"  largest difference on one batch {gap:.2g}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=300)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--beside", choices=("PyTorch", "input_feeding"), default="PyTorch")
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=g2p.BATCH_SIZE)
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--words", type=int, help="of so many words only")
    options = parser.parse_args()
    dictionary = g2p.read_dictionary(options.words)
    words, _ = split(list(dictionary), 0.1, seed=g2p.SEED)
    pairs = g2p.pairs_of(words, dictionary)
    for threads in options.threads:
        fastrnn.set_num_threads(threads)
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        translator = g2p.build(pairs, options.hidden, dropout=options.dropout)
        if options.beside == "PyTorch":
            other = torch_step(TorchG2P(translator.model))
        else:
            fed = g2p.build(pairs, options.hidden, dropout=options.dropout, context=options.beside)
            other = fastrnn_step(fed.model)
        steps = {"fastrnn": fastrnn_step(translator.model), options.beside: other}
        batches = translator.batches(
            pairs, batch_size=options.batch_size, bucket=True, seed=g2p.SEED
        )
        epochs = chain.from_iterable(map(batches.epoch, range(1 + options.batches // len(batches))))
        show(threads, *run(steps, islice(epochs, options.batches), PAUSE * (threads > 1)))


if __name__ == "__main__":
    main()
