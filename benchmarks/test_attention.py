"""How long does attention take, forward and backward?"""

from __future__ import annotations

from cases import Attention
from harness import comparison

CASES = [
    Attention("dot", N=64, Tq=30, Tk=40, size=256),
    Attention("general", N=64, Tq=30, Tk=40, size=256),
    Attention("additive", N=64, Tq=30, Tk=40, size=256),
]

test_attention = comparison("attention", CASES)
