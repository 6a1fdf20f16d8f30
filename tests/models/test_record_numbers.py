"""Scores from a checkpoint or a record: numbers stay what they are, anything else is one line."""

import math

import pytest

from ofa_bert.errors import UserError
from ofa_bert.models.record import numbers


def test_numbers_stay_what_they_are():
    found = numbers({"accuracy": 0.5, "steps": 3, "loss": math.nan})
    assert (found["accuracy"], type(found["steps"])) == (0.5, int)
    assert math.isnan(found["loss"])


@pytest.mark.parametrize("value", ["0.5", None, True, [0.5], {"score": 0.5}])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(UserError, match="the score accuracy of an evaluation is .*, no number") as error:
        numbers({"loss": 1.0, "accuracy": value})
    assert "\n" not in str(error.value)
