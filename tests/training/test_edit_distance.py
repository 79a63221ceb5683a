from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrnn.training import edit_distance

TOKENS = st.lists(st.integers(0, 3), max_size=7)


def by_definition(a, b):
    """The fewest edits, by trying all of them."""

    @cache
    def fewest(i, j):
        if i == 0 or j == 0:
            return i + j
        if a[i - 1] == b[j - 1]:
            return fewest(i - 1, j - 1)
        return 1 + min(fewest(i - 1, j), fewest(i, j - 1), fewest(i - 1, j - 1))

    return fewest(len(a), len(b))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(TOKENS, TOKENS), max_size=6))
def test_is_that_of_the_definition(pairs):
    ours = [np.array(a, np.int64) for a, _ in pairs]
    theirs = [np.array(b, np.int64) for _, b in pairs]
    wanted = [by_definition(a, b) for a, b in pairs]
    assert edit_distance(ours, theirs).tolist() == wanted
    assert edit_distance(theirs, ours).tolist() == wanted


def test_known_words():
    def ids(word):
        return np.frombuffer(word.encode(), np.uint8)

    ours, theirs = ["kitten", "", "flaw", "same"], ["sitting", "abc", "lawn", "same"]
    assert edit_distance(list(map(ids, ours)), list(map(ids, theirs))).tolist() == [3, 3, 2, 0]


@pytest.mark.parametrize(
    ("ours", "theirs", "error", "message"),
    [
        ([[1]], [], ValueError, "got 1 sequences and 0"),
        ([[1.5]], [[1]], TypeError, r"ours\[0\] must be integers, got float64"),
        ([[1]], [[[1]]], ValueError, r"theirs\[0\] must have shape \(T,\), got \(1, 1\)"),
    ],
)
def test_wrong_sequences(ours, theirs, error, message):
    with pytest.raises(error, match=f"^edit_distance: {message}$"):
        edit_distance(ours, theirs)


def test_sequences_of_an_iterator():
    assert edit_distance(iter([[1, 2]]), iter([[1]])).tolist() == [1]
