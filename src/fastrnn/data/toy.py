"""The toy tasks of sequence-to-sequence learning: addition and dates."""

from __future__ import annotations

from datetime import date

import numpy as np
from numpy.typing import NDArray

from fastrnn import _check as check
from fastrnn._check import Rng

# Not from `calendar` or `strftime`, whose names depend on the locale.
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_FIRST_DAY, _LAST_DAY = date(1970, 1, 1), date(2029, 12, 31)

# No two formats give the same text for two dates ("May" is its own abbreviation).
_NAMED = (
    "{month} {d}, {y}",
    "{mon} {d} {y}",
    "{d} {month} {y}",
    "{d}-{mon}-{y}",
    "{d}{th} of {month} {y}",
    "{weekday}, {month} {d}, {y}",
    "{day} {d} {mon} {y}",
)
_NUMERIC = ("{m}/{d}/{yy:02d}", "{d:02d}.{m:02d}.{y}", "{y}/{m}/{d}")
_CASES = (str, str.lower, str.upper)
_STYLES = [(f, case) for f in _NAMED for case in _CASES] + [(f, str) for f in _NUMERIC]
_STYLE_WEIGHTS = [1 / len(_CASES) for _ in _NAMED for _ in _CASES] + [1.0 for _ in _NUMERIC]


def addition(count: int = 50_000, *, rng: Rng = 0) -> list[tuple[str, str]]:
    """Return sums of two numbers of up to three digits: ``("52+607 ", "659 ")``.

    Each number has one, two or three random digits (without leading zeros), with equal
    probability. No two examples have the same two numbers in either order. The task is from Zaremba
    and Sutskever 2014, in the form of K. Saitoh's textbook "Deep Learning from Scratch 2".

    Parameters
    ----------
    count : int
        Number of examples, at most 500,500.
    rng : int, numpy.random.Generator or None

    Returns
    -------
    list of (source, target)
        Sources padded with spaces to 7 characters, targets to 4.
    """
    small, large = np.triu_indices(1000)
    chance = np.repeat([1 / 10 + 1 / 100 + 1 / 1000, 1 / 100 + 1 / 1000, 1 / 1000], [10, 90, 900])
    weights = chance[small] * chance[large] * np.where(small == large, 1, 2)
    generator = check.seeded("addition", rng)
    chosen = _draw("addition", weights, count, generator)
    swap = generator.random(count) < 0.5
    left = np.where(swap, large[chosen], small[chosen]).tolist()
    right = np.where(swap, small[chosen], large[chosen]).tolist()
    return [(f"{a}+{b}".ljust(7), f"{a + b}".ljust(4)) for a, b in zip(left, right, strict=True)]


def dates(count: int = 50_000, *, rng: Rng = 0) -> list[tuple[str, str]]:
    """Return dates in common formats and in ISO 8601: ``("september 27, 1994", "1994-09-27")``.

    The days are from 1970 to 2029, in ten formats with equal probability; names are in lower case,
    capitalised or in capitals:

    ===============================  ===================================
    September 27, 1994               Tuesday, September 27, 1994
    Sep 27 1994                      Tue 27 Sep 1994
    27 September 1994                9/27/94
    27-Sep-1994                      27.09.1994
    27th of September 1994           1994/9/27
    ===============================  ===================================

    In 9/27/94 the month is first, and the years 70 to 99 are of the 20th century, 00 to 29 of the
    21st. In 27.09.1994 the day is first.

    Parameters
    ----------
    count : int
        Number of examples, at most 525,960.
    rng : int, numpy.random.Generator or None

    Returns
    -------
    list of (source, target)
        All sources are different.
    """
    days = _LAST_DAY.toordinal() - _FIRST_DAY.toordinal() + 1
    generator = check.seeded("dates", rng)
    chosen = _draw("dates", np.repeat(_STYLE_WEIGHTS, days), count, generator)
    styles, offsets = np.divmod(chosen, days)
    pairs = []
    for style, offset in zip(styles.tolist(), offsets.tolist(), strict=True):
        day = date.fromordinal(_FIRST_DAY.toordinal() + offset)
        template, case = _STYLES[style]
        pairs.append((case(template.format_map(_fields(day))), day.isoformat()))
    return pairs


def _draw(
    owner: str, weights: NDArray[np.float64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw indices with these weights, without replacement."""
    count = check.integer(owner, "count", count)
    if not 0 <= count <= len(weights):
        raise ValueError(f"{owner}: count must be in 0..{len(weights)}, got {count}")
    return rng.choice(len(weights), count, replace=False, p=weights / weights.sum())


def _fields(day: date) -> dict[str, str | int]:
    month, weekday = _MONTHS[day.month - 1], _WEEKDAYS[day.weekday()]
    names = {"month": month, "mon": month[:3], "weekday": weekday, "day": weekday[:3]}
    numbers = {"y": day.year, "yy": day.year % 100, "m": day.month, "d": day.day}
    suffix = "th" if 11 <= day.day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    return {**names, **numbers, "th": suffix}
