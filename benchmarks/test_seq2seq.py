"""How long does a whole training step take: loss, gradients, clipping and Adam?"""

from __future__ import annotations

from cases import Seq2Seq
from harness import comparison

# The sizes of the two toy tasks: addition, whose sources are all as long, and dates.
CASES = [
    Seq2Seq(
        N=128,
        S=7,
        T=5,
        source_size=16,
        target_size=15,
        embedding_size=16,
        hidden_size=128,
        ragged=False,
    ),
    Seq2Seq(
        N=128,
        S=28,
        T=11,
        source_size=60,
        target_size=15,
        embedding_size=16,
        hidden_size=128,
        ragged=True,
    ),
]

test_seq2seq = comparison("seq2seq", CASES)
