"""How long does a whole sequence take, without gradients?"""

from __future__ import annotations

from cases import Recurrent
from harness import comparison

CASES = [
    Recurrent("lstm", N=1, T=100, D=128, H=128),
    Recurrent("lstm", N=8, T=50, D=128, H=128),
    Recurrent("lstm", N=20, T=35, D=100, H=100),
    Recurrent("lstm", N=32, T=50, D=256, H=256),
    Recurrent("lstm", N=64, T=50, D=512, H=512),
    Recurrent("gru", N=1, T=100, D=128, H=128),
    Recurrent("gru", N=32, T=50, D=256, H=256),
    Recurrent("gru_before", N=32, T=50, D=256, H=256),
    Recurrent("rnn", N=1, T=100, D=128, H=128),
    Recurrent("rnn", N=32, T=50, D=256, H=256),
]

test_inference = comparison("inference", CASES)
