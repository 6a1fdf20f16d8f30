"""Arrivals: their rate, how bursty they are, the same by seed; traces from files."""

import json

import numpy as np
import pytest

from ofa_bert.errors import UserError
from ofa_bert.load.trace_file import read_trace
from ofa_bert.load.traces import Trace, bursty, day, poisson, with_lengths

SECONDS = 1000.0


def rng(seed=3):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("cv2", [1.0, 2.0, 8.0])
def test_bursty_arrivals_have_the_rate_and_the_variation_that_was_asked_for(cv2):
    found = bursty(200.0, SECONDS, cv2, rng())
    gaps = np.diff(found)
    assert len(found) / SECONDS == pytest.approx(200.0, rel=0.03)
    assert gaps.var() / gaps.mean() ** 2 == pytest.approx(cv2, rel=0.05)
    assert 0 <= found[0] <= found[-1] < SECONDS
    assert (gaps >= 0).all()


def test_poisson_counts_vary_as_much_as_their_mean():
    counts = np.histogram(poisson(50.0, SECONDS, rng()), bins=int(SECONDS), range=(0, SECONDS))[0]
    assert counts.var() / counts.mean() == pytest.approx(1.0, rel=0.1)


def test_a_day_is_busiest_in_the_middle():
    found = day(100.0, SECONDS, rng())
    assert (np.diff(found) >= 0).all()
    assert len(found) / SECONDS == pytest.approx(100.0, rel=0.05)
    hours = np.histogram(found, bins=24, range=(0, SECONDS))[0]
    assert hours[11:13].mean() > 6 * hours[[0, 23]].mean()


@pytest.mark.parametrize("draw", [poisson, day, lambda *given: bursty(given[0], given[1], 8.0, given[2])])
def test_the_seed_decides(draw):
    one, again, other = (draw(100.0, 20.0, rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_lengths_come_as_often_as_their_counts_say():
    drawn = with_lengths(poisson(100.0, 200.0, rng()), [16, 128], [3, 1], rng())
    assert np.mean(drawn.lengths == 16) == pytest.approx(0.75, abs=0.02)
    assert set(drawn.lengths) == {16, 128}


def trace_of(path, length=128):
    return read_trace(str(path), length)


def test_a_trace_of_a_file_begins_at_its_first_request(tmp_path):
    (tmp_path / "t.csv").write_text("seconds,length,priority\n12.5,64,1\n10,32,0\n11,8,0\n")
    trace = trace_of(tmp_path / "t.csv")
    assert trace.seconds.tolist() == [0, 1, 2.5]
    assert trace.lengths.tolist() == [32, 8, 64]
    assert trace.priorities.tolist() == [0, 0, 1]
    assert trace.rate == pytest.approx(3 / 2.5)
    assert trace.at_rate(12.0).seconds.tolist() == pytest.approx([0, 0.1, 0.25])
    assert len(trace.until(2.5)) == 2


def test_a_trace_of_jsonl_needs_nothing_but_seconds(tmp_path):
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"seconds": at}) + "\n" for at in (1, 0.5)))
    trace = trace_of(tmp_path / "t.jsonl", 77)
    assert trace.seconds.tolist() == [0, 0.5]
    assert trace.lengths.tolist() == [77, 77]


def test_requests_that_come_at_once_have_no_rate():
    with pytest.raises(ValueError, match="no rate"):
        Trace(np.zeros(3), np.ones(3, np.int64), np.zeros(3, np.int64)).at_rate(5.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("second\n1\n", "no column 'seconds'"),
        ("seconds\n1\nsoon\n", "line 3: seconds is 'soon', must be a number from 0 to 1e.08"),
        ("seconds\n-1\n", "seconds is '-1'"),
        ("seconds\nnan\n", "seconds is 'nan'"),
        ("seconds,length\n1,0\n", "length is '0', must be a number from 1"),
        ("seconds,length\n1,2.5\n", "length is '2.5', must be whole"),
        ("seconds,priority\n1,5000\n", "priority is '5000'"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_line(tmp_path, text, said):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=said):
        trace_of(tmp_path / "t.csv")
