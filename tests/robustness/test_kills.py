"""A kill at any step on the disk leaves the old or the new, and the same command ends as if there had been none."""

from __future__ import annotations

import os

import pytest

from helpers.limits import in_process
from robustness.kill_jobs import JOBS, WITHOUT_PADDLE

FUZZ = bool(os.environ.get("OFA_BERT_FUZZ"))
# Steps between two kills of what takes seconds each time; OFA_BERT_FUZZ: every one.
STRIDE = {"bundle": 9, "run": 21}
BETWEEN = {"journal", "run"}  # of several files, or lines


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    directory = tmp_path_factory.mktemp("kills")
    return {line["job"]: line for line in in_process("robustness.kills", [str(directory), "1", *WITHOUT_PADDLE], 120)}


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHOUT_PADDLE)
def test_a_primitive_is_killed_before_every_step(quick, name):
    check(quick[name], at_least=2)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("name", [name for name in JOBS if name not in WITHOUT_PADDLE])
def test_a_job_is_killed(tmp_path, name):
    stride = 1 if FUZZ else STRIDE.get(name, 1)
    (found,) = in_process("robustness.kills", [str(tmp_path), str(stride), name], 2900)
    check(found, at_least=3)


def check(found, at_least):
    assert found["faults"] == []
    assert found["kills"] >= at_least
    assert sum(found["left"].values()) == found["kills"]
    assert found["left"]["old"] + found["left"]["between"] > 0
    assert not found["left"]["between"] or found["job"] in BETWEEN


def test_steps_are_counted_and_the_process_ends_before_one(tmp_path):
    """Otherwise nothing above would be killed."""
    from pathlib import Path

    from robustness.kills import die_before, forked

    def write(number: int) -> None:
        die_before(number)
        os.replace(tmp_path / "a", tmp_path / "b")
        os.rename(tmp_path / "b", tmp_path / "c")

    for number, left in ((1, "a"), (2, "b")):
        for path in tmp_path.iterdir():
            path.unlink()
        Path(tmp_path, "a").write_text("x")
        assert forked(lambda number=number: write(number)) == (True, None)
        assert [path.name for path in tmp_path.iterdir()] == [left]
