"""How long does one time step take from Python?"""

from __future__ import annotations

from cases import Recurrent
from harness import comparison

CASES = [
    Recurrent("lstm", N=1, T=1, D=128, H=128),
    Recurrent("gru", N=1, T=1, D=128, H=128),
    Recurrent("gru_before", N=1, T=1, D=128, H=128),
    Recurrent("rnn", N=1, T=1, D=128, H=128),
]

test_step = comparison("step", CASES)
