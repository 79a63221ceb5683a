from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrnn.data import split


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 200), st.floats(0.3, 0.7), st.integers(0, 9))
def test_every_item_once_and_in_order(count, fraction, seed):
    items = [f"item {i:03d}" for i in range(count)]
    rest, held_out = split(items, fraction, seed=seed)
    assert sorted(rest + held_out) == items
    assert rest == sorted(rest) and held_out == sorted(held_out)
    assert len(held_out) == round(count * fraction)
    assert split(items, fraction, seed=seed) == (rest, held_out)


def test_seeds_differ():
    assert split(range(100), seed=0) != split(range(100), seed=1)


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 1.5, float("nan")])
def test_bad_fraction(fraction):
    with pytest.raises(ValueError, match=r"^split: fraction must be in \(0, 1\), got "):
        split(range(10), fraction)


@pytest.mark.parametrize(("count", "fraction"), [(3, 0.1), (3, 0.9), (0, 0.5)])
def test_an_empty_part(count, fraction):
    with pytest.raises(ValueError, match=f"^split: {fraction} of {count} items leaves one part"):
        split(range(count), fraction)


def test_bad_types_and_seeds():
    with pytest.raises(ValueError, match=r"^split: seed must be at least 0, got -1$"):
        split(range(10), seed=-1)
    with pytest.raises(TypeError, match=r"^split: seed must be an integer, got 'a'$"):
        split(range(10), seed="a")
    with pytest.raises(TypeError, match=r"^split: fraction must be a number, got 'a'$"):
        split(range(10), "a")


def test_items_of_an_iterator():
    assert split(iter("abcdefgh"), 0.25) == split(list("abcdefgh"), 0.25)
