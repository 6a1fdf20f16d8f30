"""Processes that answer, fail, crash and hang; what they started ends with them."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ofa_bert.system import child_process

# Starts a child that would sleep, says its number in a file, and sleeps too; the child is in a session of its own where
# `apart`, as those of Paddle's launcher are, and is ended when this process is told to.
PARENT = """
import signal, subprocess, sys
child = subprocess.Popen(["sleep", "100"], start_new_session={apart})
if {apart}:
    signal.signal(signal.SIGTERM, lambda *_: (child.kill(), sys.exit(1)))
open(sys.argv[1], "w").write(str(child.pid))
child.wait()
"""


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (-9, "its process was ended by SIGKILL, most often for too little memory"),
        (-11, "its process was ended by SIGSEGV"),
        (-40, "its process was ended by signal 40"),
        (1, "ValueError: no"),
    ],
)
def test_why_a_process_failed(code, said):
    assert child_process.why(code, "Traceback:\n  line\nValueError: no\n") == said


def test_a_process_that_says_nothing():
    assert child_process.why(1, " \n") == "it failed without a word"


def test_a_request_goes_in_and_output_comes_back():
    code = "import sys, ofa_bert; print(sys.stdin.read() * 2); print('no', file=sys.stderr); sys.exit(4)"
    assert child_process.finish([sys.executable, "-c", code], "ab") == (4, "abab\n", "no\n")


@pytest.mark.parametrize("apart", [False, True])
def test_what_a_process_started_ends_with_it(tmp_path, apart):
    started = tmp_path / "pid"
    with pytest.raises(subprocess.TimeoutExpired):
        child_process.finish([sys.executable, "-c", PARENT.format(apart=apart), str(started)], seconds=3.0)
    number = Path(f"/proc/{started.read_text()}")
    for _ in range(50):
        if not number.exists() or number.joinpath("stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    os.kill(int(started.read_text()), 9)
    pytest.fail("its child still runs")


def test_an_interrupt_ends_it(monkeypatch):
    seen = []

    def interrupted(process, *_, **__):
        seen.append(process)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        child_process.finish(["sleep", "100"])
    assert seen[0].returncode == -15
