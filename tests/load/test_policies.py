"""What every policy must keep, whatever waits: for queues, points and times that Hypothesis makes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.loads import LADDER, linear, point
from ofa_bert.errors import UserError
from ofa_bert.load.points import value_of
from ofa_bert.load.policies.base import SLIP, Request
from ofa_bert.load.policies.baselines import AccuracyFirst, BatchFirst, Fixed, FixedShed
from ofa_bert.load.policies.registry import POLICIES, policy_named
from ofa_bert.load.policies.slackfit import SlackFit

LENGTHS = (32, 64, 128)
SHEDDING = (SlackFit, AccuracyFirst, BatchFirst, FixedShed)
PLAN = settings(max_examples=60, deadline=None)

points_made = st.lists(
    st.builds(
        lambda score, first, each, largest: linear(f"p{score}", float(score), first, each, largest, LENGTHS),
        st.integers(50, 99),
        st.floats(1, 30),
        st.floats(0.2, 15),
        st.sampled_from([2, 5, 9]),
    ),
    min_size=1,
    max_size=4,
)


@st.composite
def queues(draw, most=12):
    """Sorted, as a policy is given it; at time 0 some requests are already late."""
    rows = draw(
        st.lists(
            st.tuples(st.floats(-5, 120), st.floats(1, 60), st.integers(1, 128), st.integers(0, 2)),
            min_size=1,
            max_size=most,
        )
    )
    return sorted(
        Request(deadline, n, min(0.0, deadline - allowed), length, priority)
        for n, (deadline, allowed, length, priority) in enumerate(rows)
    )


def least(points, request):
    """Milliseconds of the fastest answer to it alone, where lengths are rounded up to what was measured."""
    end = next(end for end in LENGTHS if end >= request.length)
    return min(each.milliseconds(1, end) for each in points)


def waiting(decision, queue):
    return [request for request in queue if request not in decision.rejected]


@pytest.mark.parametrize("kind", SHEDDING)
@PLAN
@given(points=points_made, queue=queues(), free=st.integers(1, 3))
def test_no_plan_is_late_and_every_batch_is_within_limits(kind, points, queue, free):
    run = kind(points).decide(0.0, queue, free).run
    if run is not None:
        assert run.milliseconds <= min(request.deadline for request in run.requests) + SLIP
        assert 1 <= len(run.requests) <= run.point.largest_batch
        assert len(set(run.requests)) == len(run.requests)
        longest = max(request.length for request in run.requests)
        end = next(end for end in LENGTHS if end >= longest)
        assert run.milliseconds == pytest.approx(run.point.milliseconds(len(run.requests), end))


@pytest.mark.parametrize("kind", SHEDDING)
@PLAN
@given(points=points_made, queue=queues(), free=st.integers(0, 3))
def test_only_what_even_the_fastest_point_answers_late_is_turned_away(kind, points, queue, free):
    own = points[:1] if kind is FixedShed else points
    decision = kind(points).decide(0.0, queue, free)
    assert list(decision.rejected) == [request for request in queue if request.deadline < least(own, request) - SLIP]
    left = waiting(decision, queue)
    assert bool(left and free) == (decision.run is not None or decision.wait_until is not None)


@pytest.mark.parametrize("kind", [*SHEDDING, Fixed])
@PLAN
@given(points=points_made, queue=queues(), free=st.integers(1, 3))
def test_earliest_deadline_first(kind, points, queue, free):
    """The most urgent request is answered, and of its length nobody is passed over."""
    queue = [request._replace(priority=0) for request in queue]
    decision = kind(points).decide(0.0, queue, free)
    if decision.run is not None:
        left = waiting(decision, queue)
        assert left[0] in decision.run.requests
        alike = [request for request in left if bucket(request) == bucket(left[0])]
        taken = [request for request in decision.run.requests if bucket(request) == bucket(left[0])]
        assert taken == alike[: len(taken)]


def bucket(request):
    return next(place for place, end in enumerate(LENGTHS) if end >= request.length)


@PLAN
@given(points=points_made, queue=queues())
def test_lengths_are_mixed_only_where_a_deadline_forces_it(points, queue):
    queue = [request._replace(priority=0) for request in queue]
    run = SlackFit(points).decide(0.0, queue, 2).run
    if run is not None:
        assert len({bucket(request) for request in run.requests}) == 1
    run = SlackFit(points).decide(0.0, queue, 1).run
    if run is not None:
        first = bucket(run.requests[0])
        others = [request for request in run.requests if bucket(request) != first]
        # Alone, after whatever else this worker could have done for the first ones, they would have been late.
        longest = max(each.milliseconds(each.largest_batch, LENGTHS[-1]) for each in points)
        assert all(request.deadline < longest + least(points, request) for request in others)


def test_a_deadline_forces_another_length_into_the_batch():
    points = [linear("only", 90.0, 8, 2, 4, LENGTHS)]
    short, long = Request(20.0, 0, 0.0, 32), Request(9.0, 1, 0.0, 128)
    assert SlackFit(points).decide(0.0, [long, short], 1).run.requests == (long,)  # the short one has time
    pressed = short._replace(deadline=9.5)
    assert SlackFit(points).decide(0.0, [long, pressed], 1).run.requests == (long,)  # both would be late
    both = [long._replace(deadline=10.5), pressed._replace(deadline=10.6)]
    assert both[1].deadline > 8 + least(points, short)
    assert SlackFit(points).decide(0.0, both, 1).run.requests == (both[0],)  # 8 + 2 ms: one after the other is in time
    tight = [long._replace(deadline=9.2), pressed._replace(deadline=9.3)]
    slow = [linear("only", 90.0, 8, 2, 4, (32, 128)), linear("fast", 80.0, 6, 2, 4, (32, 128))]
    assert SlackFit(slow).decide(0.0, tight, 1).run.requests == tuple(tight)
    assert SlackFit(slow).decide(0.0, tight, 2).run.requests == (tight[0],)  # the other worker takes the other one


def exists(points, now, requests):
    """Whether one worker can answer all in time, by trying every way to cut the queue into batches."""
    if not requests:
        return True
    for size in range(1, len(requests) + 1):
        end = LENGTHS[max(map(bucket, requests[:size]))]
        for each in points:
            if size <= each.largest_batch:
                done = now + each.milliseconds(size, end)
                if done <= requests[0].deadline + SLIP and exists(points, done, requests[size:]):
                    return True
    return False


@PLAN
@given(points=points_made, queue=queues(most=5), free=st.integers(1, 2))
def test_no_lower_priority_is_answered_where_it_makes_a_higher_one_late(points, queue, free):
    decision = SlackFit(points).decide(0.0, queue, free)
    if decision.run is not None:
        lowest = min(request.priority for request in decision.run.requests)
        left = [request for request in waiting(decision, queue) if request not in decision.run.requests]
        higher = [request for request in left if request.priority > lowest]
        assert exists(points, decision.run.milliseconds, higher)


def test_a_higher_priority_goes_first_when_only_one_can_be_in_time():
    points = [point("only", 90.0, {1: 10.0})]
    low, high = Request(12.0, 0, 0.0, 128, 0), Request(15.0, 1, 0.0, 128, 1)
    assert SlackFit(points).decide(0.0, [low, high], 1).run.requests == (high,)
    late = high._replace(deadline=25.0)
    assert SlackFit(points).decide(0.0, [low, late], 1).run.requests == (low,)  # there is time for both


@PLAN
@given(points=points_made, queue=queues(), free=st.integers(1, 3))
def test_nobody_suffers_from_waiting(points, queue, free):
    """Who is let wait still gets the best score in time, and waiting ends."""
    policy = SlackFit(points)
    decision = policy.decide(0.0, queue, free)
    if decision.wait_until is not None:
        left = waiting(decision, queue)
        assert decision.run is None
        assert decision.wait_until > 0
        later = policy.decide(decision.wait_until, left, free)
        assert later.run is not None
        assert set(later.run.requests) == set(left)
        assert value_of(later.run.point) == max(map(value_of, points))


def test_a_free_worker_waits_for_one_more_while_another_is_free():
    points = [point("only", 90.0, {1: 10.0, 2: 12.0, 3: 14.0})]
    one = Request(50.0, 0, 0.0, 128)
    assert SlackFit(points).decide(0.0, [one], 2).wait_until == 0.25 * 38.0
    assert SlackFit(points).decide(0.0, [one], 1).run.requests == (one,)
    assert SlackFit(points, patience=0.0).decide(0.0, [one], 2).run.requests == (one,)
    additive = [point("only", 90.0, {1: 10.0, 2: 20.0})]  # a batch is worth nothing
    assert SlackFit(additive).decide(0.0, [one], 2).run.requests == (one,)


def test_quality_falls_with_the_slack_and_requests_go_last():
    chosen = []
    for slack in (50.0, 17.0, 8.0, 2.0):
        decision = SlackFit(LADDER).decide(0.0, [Request(slack, 0, slack - 50.0, 128)], 1)
        chosen.append(decision.run.point.name if decision.run else f"rejected {len(decision.rejected)}")
    assert chosen == ["full", "half", "small", "rejected 1"]


def test_the_queue_decides_between_score_and_batch():
    def waits(count, kind=SlackFit, free=1):
        run = kind(LADDER).decide(0.0, [Request(50.0, n, 0.0, 128) for n in range(count)], free).run
        return run.point.name, len(run.requests)

    # Nine take 49 ms by the half model, which leaves nobody who comes next enough time.
    assert [waits(count) for count in (1, 3, 4, 8, 9, 40)] == [
        ("full", 1), ("full", 3), ("half", 4), ("half", 8), ("small", 9), ("small", 16)
    ]  # fmt: skip
    assert waits(4, free=2) == ("full", 2)  # two workers share what waits
    assert waits(4, BatchFirst, free=2) == ("half", 4)
    assert waits(9, AccuracyFirst) == ("full", 3)


def test_the_last_free_worker_is_not_taken_until_the_next_request_must_be_late():
    points = [point("slow", 90.0, {1: 48.0}), point("fast", 80.0, {1: 5.0})]
    one = Request(50.0, 0, 0.0, 128)
    assert SlackFit(points).decide(0.0, [one], 1).run.point.name == "fast"
    assert SlackFit(points).decide(0.0, [one], 2).run.point.name == "slow"


def test_policies_by_name():
    assert [type(policy_named(name, LADDER)) for name in POLICIES] == [kind.make for kind in POLICIES.values()]
    assert policy_named("fixed", LADDER).menu.points[0].name == "full"
    assert policy_named("fixed_shed:half", LADDER).menu.points[0].name == "half"
    for word, said in (
        ("best", "must be one of slackfit"),
        ("slackfit:half", "must be one"),
        ("fixed:x", "full, half"),
    ):
        with pytest.raises(UserError, match=said):
            policy_named(word, LADDER)


def test_a_request_that_is_too_long_is_an_error():
    with pytest.raises(ValueError, match="a request of length 129, points end at 128"):
        SlackFit(LADDER).decide(0.0, [Request(50.0, 0, 0.0, 129)], 1)
