"""The cases of the report: sizes N, T, D and H of usual models, from small to large.

N is 1 for streaming and 20 to 128 for training; D is 16 for a small embedding, 40 or 80 for speech,
300 for word vectors; T is chosen so that a call takes less than 150 ms. The files for pytest time
SELECTION, which CI runs.
"""

from __future__ import annotations

from cases import WRITTEN, Attention, BeamSearch, Recurrent, Seq2Seq


def _cases(cells: tuple[str, ...], *sizes: tuple[int, int, int, int]) -> list[Recurrent]:
    return [Recurrent(cell, *size) for cell in cells for size in sizes]


INFERENCE = [
    *_cases(
        ("lstm",),
        (1, 200, 16, 32),
        (1, 100, 40, 64),
        (1, 100, 128, 128),
        (1, 50, 256, 256),
        (1, 50, 300, 300),
        (1, 20, 512, 512),
        (1, 10, 1024, 1024),
        (4, 100, 80, 256),
        (4, 25, 512, 512),
        (8, 50, 128, 128),
        (8, 35, 300, 300),
        (8, 20, 650, 650),
        (16, 28, 16, 128),
        (16, 50, 64, 64),
        (16, 50, 1024, 1024),
        (20, 35, 100, 100),
        (20, 35, 650, 650),
        (48, 20, 512, 512),
        (32, 1, 256, 256),
        (32, 100, 64, 64),
        (32, 50, 256, 256),
        (32, 30, 300, 512),
        (64, 50, 32, 32),
        (64, 20, 128, 128),
        (64, 50, 512, 512),
        (128, 28, 16, 128),
        (128, 20, 256, 256),
    ),
    *_cases(
        ("gru", "gru_before"),
        (1, 200, 40, 64),
        (1, 100, 128, 128),
        (1, 50, 300, 300),
        (1, 25, 512, 512),
        (4, 50, 80, 256),
        (8, 50, 128, 128),
        (16, 28, 16, 128),
        (16, 10, 1024, 1024),
        (20, 35, 100, 100),
        (32, 50, 256, 256),
        (32, 20, 512, 512),
        (64, 50, 32, 32),
        (64, 10, 650, 650),
        (128, 20, 128, 256),
    ),
    *_cases(
        ("rnn",),
        (1, 100, 128, 128),
        (1, 50, 512, 512),
        (4, 50, 80, 256),
        (8, 100, 64, 64),
        (16, 10, 1024, 1024),
        (20, 35, 100, 100),
        (32, 50, 256, 256),
        (32, 20, 300, 300),
        (64, 20, 650, 650),
        (128, 28, 16, 128),
    ),
]

TRAINING = [
    *_cases(
        ("lstm",),
        (1, 50, 16, 32),
        (1, 100, 128, 128),
        (1, 20, 512, 512),
        (4, 50, 80, 256),
        (8, 50, 128, 128),
        (8, 20, 300, 300),
        (16, 28, 16, 128),
        (16, 5, 1024, 1024),
        (20, 35, 100, 100),
        (20, 35, 650, 650),
        (48, 20, 512, 512),
        (32, 100, 64, 64),
        (32, 50, 256, 256),
        (32, 20, 512, 512),
        (64, 50, 32, 32),
        (64, 30, 128, 128),
        (128, 50, 128, 256),
    ),
    *_cases(
        ("gru",),
        (1, 100, 128, 128),
        (4, 20, 300, 300),
        (8, 50, 128, 128),
        (20, 35, 100, 100),
        (32, 50, 256, 256),
        (32, 10, 512, 512),
        (64, 50, 32, 32),
        (128, 28, 16, 128),
    ),
    *_cases(("gru_before",), (32, 50, 256, 256)),
    *_cases(
        ("rnn",),
        (1, 100, 128, 128),
        (8, 100, 64, 64),
        (20, 35, 100, 100),
        (32, 50, 256, 256),
        (32, 10, 512, 512),
        (128, 28, 16, 128),
    ),
]

STEP = [
    *_cases(
        ("lstm",),
        (1, 1, 16, 32),
        (1, 1, 40, 64),
        (1, 1, 128, 128),
        (1, 1, 256, 256),
        (1, 1, 300, 300),
        (1, 1, 512, 512),
        (1, 1, 1024, 1024),
    ),
    *_cases(("gru", "gru_before", "rnn"), (1, 1, 128, 128), (1, 1, 512, 512)),
    *_cases(("rnn",), (1, 1, 1024, 1024)),
]

ATTENTION = [
    Attention(score, N=64, Tq=30, Tk=40, size=256) for score in ("dot", "general", "additive")
]

# The sizes of the two toy tasks: addition, with sources of one length, and dates.
SEQ2SEQ = [
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

# A grapheme-to-phoneme model, and a smaller one with fewer words for CI.
BEAM_SEARCH = [
    BeamSearch(words=1000, letters=8, hidden_size=512),
    BeamSearch(words=50, letters=8, hidden_size=64),
]

Cases = list[Recurrent] | list[Attention] | list[Seq2Seq] | list[BeamSearch]

GRID: dict[str, Cases] = {
    "inference": INFERENCE,
    "training": TRAINING,
    "step": STEP,
    "attention": ATTENTION,
    "seq2seq": SEQ2SEQ,
    "beam_search": BEAM_SEARCH,
}

SELECTION: dict[str, Cases] = GRID | {
    "inference": [
        *_cases(
            ("lstm",),
            (1, 100, 128, 128),
            (8, 50, 128, 128),
            (20, 35, 100, 100),
            (32, 50, 256, 256),
            (64, 50, 512, 512),
        ),
        *_cases(("gru", "rnn"), (1, 100, 128, 128), (32, 50, 256, 256)),
        *_cases(("gru_before",), (32, 50, 256, 256)),
    ],
    "training": [
        *_cases(
            ("lstm",),
            (1, 100, 128, 128),
            (20, 35, 100, 100),
            (32, 50, 256, 256),
            (128, 50, 128, 256),
        ),
        *_cases(("gru", "gru_before", "rnn"), (32, 50, 256, 256)),
    ],
    "step": _cases(("lstm", "gru", "gru_before", "rnn"), (1, 1, 128, 128)),
    "beam_search": BEAM_SEARCH[1:],
}

WRITTEN_CELLS = [
    Recurrent(cell, N, 50, H, H) for cell in WRITTEN for N in (1, 16, 64) for H in (128, 512)
]
