"""How long does a forward and a backward take?"""

from __future__ import annotations

from cases import Recurrent
from harness import comparison

CASES = [
    Recurrent("lstm", N=1, T=100, D=128, H=128),
    Recurrent("lstm", N=20, T=35, D=100, H=100),
    Recurrent("lstm", N=32, T=50, D=256, H=256),
    Recurrent("lstm", N=128, T=50, D=128, H=256),
    Recurrent("gru", N=32, T=50, D=256, H=256),
    Recurrent("gru_before", N=32, T=50, D=256, H=256),
    Recurrent("rnn", N=32, T=50, D=256, H=256),
]

test_training = comparison("training", CASES)
