"""How long does a training step of a PyTorch model take, as it is and accelerated?"""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")
accelerate = pytest.importorskip("fastrnn.torch").accelerate

CASES = [(32, 50, 256), (1, 100, 128)]
VOCABULARY = 100
TOLERANCE = 1e-4


class Tagger(torch.nn.Module):
    """Embedding, a recurrent stack in both directions, linear."""

    def __init__(self, kind, size):
        super().__init__()
        self.embedding = torch.nn.Embedding(VOCABULARY, size)
        self.rnn = getattr(torch.nn, kind)(size, size, 2, bidirectional=True, batch_first=True)
        self.output = torch.nn.Linear(2 * size, VOCABULARY)

    def forward(self, ids):
        return self.output(self.rnn(self.embedding(ids))[0])


def training_step(model, ids, tags):
    """A function that makes a step with Adam and returns the loss."""
    optimizer = torch.optim.Adam(model.parameters())

    def step():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(ids).flatten(0, 1), tags.flatten())
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


@pytest.mark.parametrize("modules", ["torch.nn", "fastrnn.torch"])
@pytest.mark.parametrize("kind", ["GRU", "LSTM", "RNN"])
@pytest.mark.parametrize(("N", "T", "H"), CASES)
def test_training_step(modules, kind, N, T, H, threads, benchmark):
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    plain = Tagger(kind, H)
    accelerated = copy.deepcopy(plain)
    assert accelerate(accelerated).replaced == ["rnn"]
    ids, tags = torch.randint(VOCABULARY, (2, N, T))
    steps = {
        "torch.nn": training_step(plain, ids, tags),
        "fastrnn.torch": training_step(accelerated, ids, tags),
    }
    for _ in range(2):  # the second loss depends on the gradients
        assert steps["torch.nn"]() == pytest.approx(steps["fastrnn.torch"](), abs=TOLERANCE)
    benchmark.group = f"PyTorch model: {kind} N{N} T{T} H{H}"
    benchmark(steps[modules])
