"""Simulations: one by hand, one against the formula of queueing theory, and SlackFit beside one point for all."""

import numpy as np
import pytest

from helpers.loads import LADDER, point
from ofa_bert.load.policies.base import Decision, Request
from ofa_bert.load.policies.baselines import AccuracyFirst, BatchFirst, Fixed, FixedShed
from ofa_bert.load.policies.slackfit import SlackFit
from ofa_bert.load.simulation import requests_of, simulate
from ofa_bert.load.traces import bursty, poisson, with_lengths

SLOW, FAST = point("slow", 90.0, {1: 30.0, 2: 50.0}), point("fast", 80.0, {1: 10.0, 2: 15.0})


def asked(*arrivals, deadline=50.0):
    return [Request(at + deadline, n, at, 128) for n, at in enumerate(arrivals)]


def drawn(rate, seconds, cv2=1.0, seed=1):
    random = np.random.default_rng(seed)
    return with_lengths(bursty(rate, seconds, cv2, random), [128], [1], random)


def test_event_by_event():
    """One worker, SlackFit; by hand. begin: what waits, with its slack -> point, batch, end."""
    arrivals = [0.0, 5.0, 40.0, 41.0, 72.0, 73.0, 74.0, *[200.0] * 8]
    outcome = simulate(asked(*arrivals), SlackFit([SLOW, FAST]), 1)
    assert [(begin, run.point.name, [r.identity for r in run.requests]) for begin, run in outcome.runs] == [
        (0.0, "slow", [0]),  # slack 50
        (30.0, "fast", [1]),  # slack 25: the slow point would end at 60, after 55
        (40.0, "slow", [2]),  # comes when the worker is free again
        (70.0, "fast", [3]),  # slack 21
        (80.0, "fast", [4, 5]),  # three wait, slack 42: the slow point takes 50 for two
        (95.0, "fast", [6]),
        (200.0, "fast", [7, 8]),  # the slow point would end at 250: who comes next would be late
        (215.0, "fast", [9, 10]),
        (230.0, "fast", [11, 12]),  # end at 245; the last two have 5 ms left then, and nothing takes less than 10
    ]
    assert [request.identity for request in outcome.rejected] == [13, 14]
    assert [answer.end for answer in outcome.answers] == [30, 40, 70, 80, 95, 95, 105, 215, 215, 230, 230, 245, 245]
    assert outcome.attainment == 13 / 15
    assert outcome.score_answered == pytest.approx((2 * 90 + 11 * 80) / 13)
    assert outcome.score_all == pytest.approx((2 * 90 + 11 * 80) / 15)
    assert outcome.utilisation == pytest.approx((30 + 10 + 30 + 10 + 15 + 10 + 3 * 15) / 245)
    assert outcome.answered_by() == {"fast": 11, "slow": 2}
    assert outcome.percentiles([0, 100]) == [15.0, 45.0]


def test_two_workers_share_what_waits():
    outcome = simulate(asked(0.0, 0.0, 0.0), SlackFit([SLOW, FAST], patience=0.0), 2)
    assert [(begin, run.point.name, len(run.requests)) for begin, run in outcome.runs] == [
        (0.0, "slow", 2), (0.0, "slow", 1)
    ]  # fmt: skip
    assert outcome.utilisation == pytest.approx((50 + 30) / (2 * 50))


def test_who_waits_is_answered_when_the_time_has_come():
    cheap = point("cheap", 90.0, {1: 10.0, 2: 12.0, 3: 14.0})
    outcome = simulate(asked(0.0, 5.0), SlackFit([cheap]), 2)
    # One more would still be in time until 38, of which a quarter is waited; for a third one until 36.
    assert [(begin, len(run.requests)) for begin, run in outcome.runs] == [(9.0, 2)]
    assert outcome.attainment == 1.0


def test_without_batching_a_fixed_point_is_an_m_d_1_queue():
    """Pollaczek and Khinchine: mean wait = load * service / (2 (1 - load))."""
    service, rate = 10.0, 70.0
    trace = with_lengths(poisson(rate, 1000.0, np.random.default_rng(5)), [128], [1], np.random.default_rng(5))
    outcome = simulate(requests_of(trace, 1e9), Fixed([point("only", 90.0, {1: service})]), 1)
    waits = [answer.end - answer.request.arrival - service for answer in outcome.answers]
    load = rate * service / 1e3
    assert np.mean(waits) == pytest.approx(load * service / (2 * (1 - load)), rel=0.04)
    assert outcome.utilisation == pytest.approx(load, rel=0.02)
    assert np.mean(np.asarray(waits) < 1e-6) == pytest.approx(1 - load, rel=0.04)  # arrivals see time averages


def test_the_same_trace_gives_the_same_outcome():
    runs = [simulate(requests_of(drawn(100, 20, 8.0, seed), 50.0), SlackFit(LADDER), 2).runs for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.parametrize("kind", [SlackFit, AccuracyFirst, BatchFirst, FixedShed, Fixed])
def test_every_request_ends_once_and_no_worker_does_two_things(kind):
    requests = requests_of(drawn(300, 10, 8.0), 50.0)
    outcome = simulate(requests, kind(LADDER), 2)
    ended = [answer.request for answer in outcome.answers] + outcome.rejected
    assert sorted(ended) == sorted(requests)
    begins = [(begin, 1) for begin, _ in outcome.runs]
    ends = [(begin + run.milliseconds, -1) for begin, run in outcome.runs]
    busy = np.cumsum([step for _, step in sorted(begins + ends)])
    assert busy.max() == 2
    assert busy.min() == 0
    assert all(begin >= request.arrival for begin, run in outcome.runs for request in run.requests)
    if kind is not Fixed:
        assert all(answer.in_time for answer in outcome.answers)


def beaten(kind, rate):
    """The fixed points that meet more deadlines than the policy with at least its score."""
    requests = requests_of(drawn(rate, 30, 8.0), 50.0)
    own = simulate(requests, kind(LADDER), 2)
    others = {each.name: simulate(requests, FixedShed([each]), 2) for each in LADDER}
    return [
        name
        for name, other in others.items()
        if other.attainment > own.attainment + 0.002 and other.score_answered >= own.score_answered - 1e-9
    ]


@pytest.mark.parametrize("rate", [20, 80, 200, 500, 900])
def test_no_fixed_point_meets_more_deadlines_at_slackfit_s_score(rate):
    assert beaten(SlackFit, rate) == []


def test_slackfit_meets_as_many_deadlines_as_the_fastest_point_and_scores_more():
    for rate in (20, 80, 200, 400):
        requests = requests_of(drawn(rate, 30, 8.0), 50.0)
        own, fastest = (simulate(requests, policy, 2) for policy in (SlackFit(LADDER), FixedShed(LADDER[-1:])))
        assert own.attainment > fastest.attainment - 0.005
        assert own.score_answered > fastest.score_answered + 1
    # What takes the best score first loses to a fixed point: the comparison can fail.
    assert simulate(requests, AccuracyFirst(LADDER), 2).attainment < fastest.attainment - 0.1


def test_priorities_are_kept_in_a_simulation():
    requests = [Request(50.0, n, 0.0, 128, int(n >= 30)) for n in range(40)]
    outcome = simulate(requests, SlackFit([point("only", 90.0, {1: 5.0})]), 1)
    assert outcome.attainment_by_priority() == {1: 1.0, 0: 0.0}


class Idle:
    def __init__(self, decision):
        self.decision = decision

    def decide(self, now, queue, free_workers):
        return self.decision


def test_a_policy_that_does_nothing_is_an_error_and_no_hang():
    with pytest.raises(ValueError, match="leaves 1 requests without a time"):
        simulate(asked(0.0), Idle(Decision()), 1)
    with pytest.raises(ValueError, match="a time that is over"):
        simulate(asked(0.0), Idle(Decision(wait_until=0.0)), 1)
    with pytest.raises(ValueError, match="a request that does not wait"):
        simulate(asked(0.0), Idle(Decision(rejected=(Request(1.0, 7, 0.0),))), 1)
