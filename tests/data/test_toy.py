"""The toy tasks, checked by parsers that know nothing of how the examples were made."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime

import numpy as np
import pytest

from fastrnn.data import addition, dates


@pytest.fixture(scope="module")
def sums():
    return addition()


@pytest.fixture(scope="module")
def written():
    return dates()


def test_sums_hold(sums):
    assert len(sums) == 50_000
    for source, target in sums:
        assert len(source) == 7 and len(target) == 4
        a, b = re.fullmatch(r"(0|[1-9]\d{0,2})\+(0|[1-9]\d{0,2}) *", source).groups()
        assert int(a) + int(b) == int(target) and target == str(int(target)).ljust(4)


def test_no_sum_twice(sums):
    assert len({tuple(sorted(source.strip().split("+"))) for source, _ in sums}) == len(sums)


def test_numbers_of_all_sizes_on_both_sides(sums):
    sides = [source.strip().split("+") for source, _ in sums]
    for side in range(2):
        sizes = Counter(len(pair[side]) for pair in sides)
        assert all(sizes[n] > 3_000 for n in (1, 2, 3))
    larger_first = sum(int(a) > int(b) for a, b in sides)
    assert 0.47 < larger_first / len(sides) < 0.53


PATTERNS = {
    "%B %d, %Y": r"[A-Z][a-z]+ \d\d?, \d{4}",
    "%b %d %Y": r"[A-Z][a-z]{2} \d\d? \d{4}",
    "%d %B %Y": r"\d\d? [A-Z][a-z]+ \d{4}",
    "%d-%b-%Y": r"\d\d?-[A-Z][a-z]{2}-\d{4}",
    "%dth of %B %Y": r"\d\d?(?:st|nd|rd|th) of [A-Z][a-z]+ \d{4}",
    "%A, %B %d, %Y": r"[A-Z][a-z]+day, [A-Z][a-z]+ \d\d?, \d{4}",
    "%a %d %b %Y": r"[A-Z][a-z]{2} \d\d? [A-Z][a-z]{2} \d{4}",
    "%m/%d/%y": r"\d\d?/\d\d?/\d\d",
    "%d.%m.%Y": r"\d\d\.\d\d\.\d{4}",
    "%Y/%m/%d": r"\d{4}/\d\d?/\d\d?",
}


def restored_case(source):
    words = re.sub(r"[A-Za-z]+", lambda word: word[0].capitalize(), source)
    words = re.sub(r"(?<=\d)[A-Z][a-z]", lambda suffix: suffix[0].lower(), words)
    return words.replace(" Of ", " of ")


def parse(source):
    """The only format that fits, and the date."""
    text = restored_case(source)
    (form,) = (form for form, pattern in PATTERNS.items() if re.fullmatch(pattern, text))
    day = datetime.strptime(re.sub(r"(?<=\d)(st|nd|rd)", "th", text), form)
    if "%y" in form:  # the C library puts 69 and above into the 20th century: the same cut here
        assert 1970 <= day.year <= 2029
    if form[:2] in ("%A", "%a"):
        assert text.startswith(day.strftime(form[:2]))
    if "th of" in form:
        last = day.day % 10 if day.day not in (11, 12, 13) else 0
        assert {1: "st", 2: "nd", 3: "rd"}.get(last, "th") in text.split()[0]
    return form, day


def test_dates_are_what_they_say(written):
    assert len(written) == 50_000
    forms = Counter()
    for source, target in written:
        form, day = parse(source)
        assert target == day.strftime("%Y-%m-%d")
        forms[form] += 1
    assert forms.keys() == PATTERNS.keys()
    assert min(forms.values()) > 4_000


def test_no_source_twice(written):
    assert len({source for source, _ in written}) == len(written)


def test_cases_are_mixed(written):
    letters = [source for source, _ in written if re.search("[a-zA-Z]", source)]
    lower, upper = (
        sum(getattr(source, test)() for source in letters) / len(letters)
        for test in ("islower", "isupper")
    )
    assert 0.3 < lower < 0.37 and 0.3 < upper < 0.37


def test_range_of_years(written):
    years = {int(target[:4]) for _, target in written}
    assert years == set(range(1970, 2030))


def test_all_dates_that_there_are():
    sources = {source for source, _ in dates(525_960)}
    assert len(sources) == 525_960


@pytest.mark.parametrize(("make", "most"), [(addition, 500_500), (dates, 525_960)])
def test_seed_and_count(make, most):
    assert make(20, rng=1) == make(20, rng=np.random.default_rng(1)) != make(20, rng=2)
    assert make(0) == []
    for count in (-1, most + 1):
        with pytest.raises(ValueError, match=rf"count must be in 0\.\.{most}, got {count}$"):
            make(count)
    with pytest.raises(TypeError, match=f"^{make.__name__}: count must be an integer, got 2.5$"):
        make(2.5)
    for rng in (-1, "a"):
        with pytest.raises(ValueError, match=f"^{make.__name__}: rng must be .*, got {rng!r}$"):
            make(2, rng=rng)
