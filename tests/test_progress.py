"""Bars on a terminal, few lines elsewhere, nothing when quiet."""

import io
import logging

import pytest

from ofa_bert import progress
from ofa_bert.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

        def __call__(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    return clock


def test_short_work_says_nothing_in_a_log():
    log = io.StringIO()
    assert list(Progress(range(100), file=log, mininterval=0)) == list(range(100))
    assert log.getvalue() == ""


def test_long_work_says_a_line_every_half_minute(clock):
    log = io.StringIO()
    bar = Progress(total=100, desc="train", file=log, mininterval=0, miniters=1)
    for _ in range(100):
        clock.now += 4
        bar.update(1)
    lines = log.getvalue().splitlines()
    assert 100 * 4 / 30 - 2 <= len(lines) <= 100 * 4 / 30
    assert lines[0].startswith("train:   8% (8 of 100), ")
    assert "\r" not in log.getvalue()


def test_without_a_total_it_still_counts(clock):
    log = io.StringIO()
    bar = Progress(desc="read", file=log, mininterval=0, miniters=1)
    clock.now += 31
    bar.update(7)
    bar.close()
    assert log.getvalue().startswith("read: 7it")


def test_a_terminal_has_a_bar():
    screen = Terminal()
    assert list(Progress(range(3), file=screen, mininterval=0)) == [0, 1, 2]
    assert "100%|" in screen.getvalue()


def test_quiet_is_silent():
    log = logging.getLogger("ofa_bert")
    before, screen = log.level, Terminal()
    try:
        log.setLevel(logging.WARNING)
        assert list(Progress(range(3), file=screen, mininterval=0)) == [0, 1, 2]
    finally:
        log.setLevel(before)
    assert screen.getvalue() == ""
