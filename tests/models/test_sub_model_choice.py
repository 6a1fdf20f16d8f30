"""Which sub-model two multipliers mean, and what is said of it."""

import logging

from helpers.stated_models import SHAPE
from ofa_bert.models.record import ModelRecord
from ofa_bert.models.sub_model_choice import SubModelChoice
from ofa_bert.submodels.grid import SearchSpace

RECORD = ModelRecord(kind="supernet", shape=SHAPE, space=SearchSpace(SHAPE, (1.0, 2 / 3, 0.5)))


def said(caplog, width, **how):
    caplog.clear()
    with caplog.at_level(logging.INFO):
        found = SubModelChoice(width_mult=width).of("here", RECORD, SHAPE, **how)
    assert found == RECORD.space.sub_model(2 / 3)
    return [record.getMessage() for record in caplog.records]


def test_a_multiplier_near_a_trained_one_means_that_and_is_said_once(caplog):
    assert said(caplog, 0.67) == ["width 0.67, depth 1 stand for the trained 0.666667, 1"]


def test_nothing_is_said_of_an_exact_one_or_when_another_says_it(caplog):
    assert said(caplog, 2 / 3) == []
    assert said(caplog, 0.67, say=False) == []
