"""Intervals of scores: against published values, and against how often they hold what is true."""

import math

import numpy as np
import pytest

from ofa_bert.tasks.intervals import difference, interval, wilson
from ofa_bert.tasks.task import Task

CLASSES = Task("t", ("0", "1"), ("accuracy",), ("text",))


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (8, 10, 0.4902, 0.9433), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_s_interval(right, count, low, high):
    """81 of 263: Newcombe 1998, table I, method 3."""
    assert wilson(right / count, count) == pytest.approx((low, high), abs=5e-5)


def test_an_accuracy_has_wilson_s_interval():
    labels = np.array([0, 1] * 8)
    logits = np.eye(2)[labels]
    logits[:4] = logits[:4, ::-1]
    assert interval(CLASSES, logits, labels) == wilson(0.75, 16)


@pytest.mark.parametrize("metric", ["f1", "matthews"])
def test_other_metrics_are_drawn_anew(metric):
    task = Task("t", ("0", "1"), (metric,), ("text",))
    labels = np.array([0, 1] * 20)
    answers = np.where(np.arange(40) % 8 < 6, labels, 1 - labels)
    logits = np.eye(2)[answers]
    low, high = interval(task, logits, labels)
    assert low < {"f1": 0.75, "matthews": 0.5}[metric] < high
    assert 0.1 < high - low < 0.7
    assert interval(task, logits, labels) == (low, high)
    assert interval(task, logits, labels, seed=1) != (low, high)


def test_about_95_of_100_intervals_hold_what_is_true():
    """A correlation of 0.5 in the population; the binomial chance of fewer than 24 of 30 is below 0.5 %."""
    task = Task("t", (), ("pearson",), ("text",), "regression")
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(30):
        labels = rng.normal(size=150)
        logits = labels[:, None] + math.sqrt(3) * rng.normal(size=(150, 1))
        low, high = interval(task, logits, labels, seed)
        assert 0.1 < high - low < 0.5
        held += low <= 0.5 <= high
    assert held >= 24


def answers(labels, wrong):
    """Logits that are right but at the places `wrong`."""
    found = np.eye(2)[labels]
    found[wrong] = found[wrong, ::-1]
    return found


def test_a_difference_is_paired():
    """Two answerers who are wrong on nearly the same examples differ by little, and surely so."""
    labels = np.array([0, 1] * 200)
    hard = np.arange(100)
    gap = difference(CLASSES, answers(labels, np.append(hard, 200)), answers(labels, hard), labels)
    assert gap.score == pytest.approx(-1 / 400)
    assert -0.02 < gap.low <= gap.score <= gap.high <= 0
    elsewhere = difference(CLASSES, answers(labels, hard + 150), answers(labels, hard), labels)
    assert elsewhere.score == 0
    assert elsewhere.high - elsewhere.low > 5 * (gap.high - gap.low)
    assert difference(CLASSES, answers(labels, hard), answers(labels, hard), labels) == (0.0, 0.0, 0.0)
    again = difference(CLASSES, answers(labels, hard + 150), answers(labels, hard), labels)
    assert again == elsewhere


def test_about_95_of_100_differences_hold_what_is_true():
    """0.9 right and 0.8 right; the binomial chance of fewer than 34 of 40 is about 1 %."""
    rng, held = np.random.default_rng(1), 0
    for seed in range(40):
        labels = rng.integers(0, 2, 300)
        better, worse = (answers(labels, np.flatnonzero(rng.random(300) > right)) for right in (0.9, 0.8))
        gap = difference(CLASSES, worse, better, labels, seed)
        held += gap.low <= -0.1 <= gap.high
    assert held >= 34
