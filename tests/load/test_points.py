"""Points: latency between what was measured, and which points are of use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.loads import linear, point
from ofa_bert.load.points import Point, pareto

GRID = Point("p", 80.0, {(1, 32): 2.0, (1, 128): 5.0, (9, 32): 10.0, (9, 128): 37.0})


def test_latency_lies_on_the_line_between_two_measurements():
    assert GRID.milliseconds(1, 32) == 2.0
    assert GRID.milliseconds(5, 32) == 6.0
    assert GRID.milliseconds(1, 80) == 3.5
    assert GRID.milliseconds(5, 80) == pytest.approx((6.0 + 21.0) / 2)
    assert GRID.milliseconds(9, 8) == 10.0  # shorter than the shortest: as that


@pytest.mark.parametrize(("batch", "length"), [(10, 32), (0, 32), (1, 129)])
def test_nothing_is_guessed_beyond_what_was_measured(batch, length):
    with pytest.raises(ValueError, match="beyond what was measured"):
        GRID.milliseconds(batch, length)


def test_a_hole_in_the_grid_is_refused():
    with pytest.raises(ValueError, match="a latency is missing"):
        Point("p", 1.0, {(1, 32): 2.0, (1, 128): 5.0, (9, 32): 10.0})


@given(st.dictionaries(st.integers(1, 40), st.floats(0.1, 100), min_size=1, max_size=6))
def test_more_requests_never_take_less_time(times):
    made = point("p", 1.0, times)
    every = [made.milliseconds(batch, 128) for batch in range(1, made.largest_batch + 1)]
    assert every == sorted(every)
    assert all(made.milliseconds(batch, 128) >= ms for batch, ms in times.items())


def test_a_point_that_is_slower_everywhere_and_no_better_is_left_out():
    best, fast = linear("best", 90.0, 10, 5), linear("fast", 80.0, 2, 1)
    slower, same = linear("slower", 79.0, 3, 1), linear("same", 80.0, 2, 1)
    better_in_batches = linear("better in batches", 80.0, 4, 0.5)
    assert pareto([slower, best, fast, same, better_in_batches]) == [best, fast, better_in_batches]


def test_a_point_stays_that_alone_has_a_batch_or_a_length():
    fast = linear("fast", 80.0, 2, 1, largest=4)
    assert len(pareto([fast, linear("larger batches", 80.0, 4, 2, largest=8)])) == 2
    assert len(pareto([fast, linear("longer", 80.0, 9, 9, largest=4, lengths=(128, 256))])) == 2


def test_a_point_is_left_out_that_only_seems_faster_where_others_measured_less():
    """It is compared at every batch size that either of them was measured at."""
    coarse = point("coarse", 80.0, {1: 2.0, 8: 16.0})
    fine = point("fine", 80.0, {1: 2.0, 4: 5.0, 8: 16.0})
    assert pareto([coarse, fine]) == [fine]


def test_without_scores_only_time_counts():
    assert [each.name for each in pareto([linear("a", None, 5, 5), linear("b", None, 2, 2)])] == ["b"]
