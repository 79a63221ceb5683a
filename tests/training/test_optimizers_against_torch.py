from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest

from fastrnn.training import SGD, AdaGrad, Adam, AdamW, Momentum, RMSprop

torch = pytest.importorskip("torch")

PAIRS = {
    "SGD": (SGD(0.1), lambda p: torch.optim.SGD(p, 0.1)),
    # torch: v = m v + g; p -= lr v, the same with v scaled as long as lr is constant
    "Momentum": (
        Momentum(0.1, momentum=0.8),
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.8),
    ),
    "AdaGrad": (AdaGrad(0.1), lambda p: torch.optim.Adagrad(p, 0.1)),
    "RMSprop": (RMSprop(0.1), lambda p: torch.optim.RMSprop(p, 0.1)),
    "Adam": (Adam(0.1), lambda p: torch.optim.Adam(p, 0.1)),
    "AdamW": (
        AdamW(0.1, beta1=0.8, beta2=0.95, eps=1e-6, weight_decay=0.2),
        lambda p: torch.optim.AdamW(p, 0.1, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.2),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_same_steps(name, rng):
    ours, make = deepcopy(PAIRS[name])
    param = rng.standard_normal((4, 3))
    tensor = torch.tensor(param, requires_grad=True)
    theirs = make([tensor])
    for _ in range(6):
        grad = rng.standard_normal((4, 3))
        ours.update({"p": param}, {"p": grad})
        tensor.grad = torch.tensor(grad)
        theirs.step()
        np.testing.assert_allclose(param, tensor.detach().numpy(), rtol=1e-11)
