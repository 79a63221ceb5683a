from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn.models.decoding import greedy


def test_ended_sequences_stay_at_pad_while_others_go_on() -> None:
    script = np.array([[5, 2, 7, 7], [4, 6, 2, 7], [3, 3, 3, 3]])
    rng = np.random.default_rng(0)
    alignments = rng.random((3, 4, 6))
    fed = []

    def step(tokens: Any, state: Any) -> Any:
        fed.append(tokens.copy())
        logits = rng.random((3, 8))
        logits[np.arange(3), script[:, state]] = 2.0
        return logits, state + 1, alignments[:, state]

    ids, weights = greedy(step, 0, 3, 4)
    np.testing.assert_array_equal(ids, [[5, 2, 0, 0], [4, 6, 2, 0], [3, 3, 3, 3]])
    np.testing.assert_array_equal(np.stack(fed, axis=1)[:, 0], [1, 1, 1])
    np.testing.assert_array_equal(np.stack(fed, axis=1)[:, 1:], ids[:, :-1])
    alignments[0, 2:] = 0
    alignments[1, 3:] = 0
    np.testing.assert_array_equal(weights, alignments)


def test_decoding_stops_when_all_have_ended() -> None:
    calls = []

    def step(tokens: Any, state: Any) -> Any:
        calls.append(1)
        logits = np.zeros((2, 4))
        logits[[0, 1], [2, 2 if len(calls) == 2 else 3]] = 1.0
        return logits, state, np.ones((2, 1))

    ids, _ = greedy(step, None, 2, 50)
    np.testing.assert_array_equal(ids, [[2, 0], [3, 2]])
    assert len(calls) == 2
