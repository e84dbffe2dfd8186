"""When the first model can be trained: on weekly cuts, which lie on Thursdays, and a horizon of a week."""

from datetime import date

import pytest

from dags.steps.history import first_night_to_learn


@pytest.mark.parametrize(
    ("first_day", "cut", "expected"),
    [
        # events from Saturday 20 September: Thursday 25 has a past, 2 October is held out, and known by the 9th
        (date(1997, 9, 20), date(1997, 9, 18), date(1997, 10, 9)),
        (date(1997, 9, 20), date(1997, 8, 28), date(1997, 10, 9)),
        # a cut sees what was known before its day, not on it
        (date(1997, 9, 25), date(1997, 9, 25), date(1997, 10, 16)),
        (date(1997, 9, 24), date(1997, 9, 18), date(1997, 10, 9)),
    ],
)
def test_the_first_night_to_learn(first_day: date, cut: date, expected: date) -> None:
    assert first_night_to_learn(first_day, cut, every=7, horizon=7) == expected
