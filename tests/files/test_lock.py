"""One writer for a directory: a second process is told who the first is, and the dead hold nothing."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from helpers.paths import ROOT
from ofa_bert.errors import RunError, UserError
from ofa_bert.files import lock
from ofa_bert.system.owner import Owner

HOLDER = """
import sys, time
from ofa_bert.files import lock
try:
    lock.hold(sys.argv[1], beside=len(sys.argv) > 2)
except Exception as error:
    print(error, flush=True)
    sys.exit(error.exit_code)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _nothing_held():
    yield
    lock.release_all()


@contextlib.contextmanager
def another(directory, *more):
    words = [sys.executable, "-c", HOLDER, str(directory), *more]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def names(directory):
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("more", [(), ("beside",)])
def test_a_second_process_is_refused_by_a_line_that_names_the_first(tmp_path, more):
    out = tmp_path / "out"
    with another(out, *more) as (process, said):
        assert said == "held"
        with pytest.raises(UserError) as found:
            lock.hold(out, bool(more))
        text = str(found.value)
        assert f"{out}: is being written by process {process.pid} on {os.uname().nodename} since 20" in text
        assert "(python" in text
        assert "name another directory" in text
        assert "\n" not in text
        lock.hold(tmp_path / "other")
    lock.hold(out, bool(more))  # SIGKILL let go of it


def test_a_holder_that_ends_leaves_no_file_and_one_that_is_killed_no_lock(tmp_path):
    with another(tmp_path / "a") as (process, _):
        process.stdin.close()
        assert process.wait(10) == 0
        assert not (tmp_path / "a").exists()
    with another(tmp_path / "b") as (process, _):
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert names(tmp_path / "b") == [".ofa-lock"]
        lock.hold(tmp_path / "b")
    assert json.loads((tmp_path / "b" / ".ofa-lock").read_text())["pid"] == os.getpid()
    with another(tmp_path / "b") as (process, said):
        assert f"process {os.getpid()} on" in said
        assert process.wait(10) == 2
    lock.release(tmp_path / "b")
    assert names(tmp_path / "b") == []


def test_one_process_may_hold_it_again_and_the_outer_block_lets_go(tmp_path):
    with lock.holding(tmp_path):
        with lock.holding(tmp_path):
            lock.hold(tmp_path)
        assert names(tmp_path) == [".ofa-lock"]
    assert names(tmp_path) == []
    lock.release(tmp_path)
    link = tmp_path / "link"
    (tmp_path / "real").mkdir()
    link.symlink_to(tmp_path / "real")
    lock.hold(link)
    with another(tmp_path / "real") as (_, said):
        assert "is being written by" in said


def test_a_forked_child_does_not_keep_the_lock_of_a_dead_parent(tmp_path):
    script = HOLDER.replace("sys.stdin.read()", "import os\nif not os.fork():\n    time.sleep(60)\nsys.stdin.read()")
    words = [sys.executable, "-c", script, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    try:
        assert process.stdout.readline().strip() == "held"
        with pytest.raises(UserError, match="is being written by"):
            lock.hold(tmp_path)
        time.sleep(0.5)  # until it has forked
        process.kill()
        process.wait()
        lock.hold(tmp_path)
    finally:
        os.killpg(process.pid, signal.SIGKILL)


def left_behind(directory, **changes):
    directory.mkdir(exist_ok=True)
    (directory / ".ofa-lock").write_text(json.dumps({**Owner.mine().to_json(), **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        {"pid": 2**22 + 1},  # gone: above the largest number that Linux gives
        {"start": "1"},  # the number is another process's by now
        {"boot": "before the machine was started again", "pid": 1},
    ],
    ids=["gone", "reused", "booted"],
)
def test_a_record_of_a_dead_process_is_stale_without_the_kernel_too(tmp_path, changes, monkeypatch):
    monkeypatch.setattr(lock, "fcntl", None)
    left_behind(tmp_path, **changes)
    lock.hold(tmp_path)
    assert json.loads((tmp_path / ".ofa-lock").read_text())["pid"] == os.getpid()


def test_where_there_are_no_locks_the_record_of_a_living_process_counts(tmp_path, monkeypatch):
    with another(tmp_path) as (process, _):
        monkeypatch.setattr(lock, "fcntl", None)
        with pytest.raises(UserError, match=f"is being written by process {process.pid}"):
            lock.hold(tmp_path)


def test_a_record_of_another_machine_counts_on_a_network_file_system_alone(tmp_path, monkeypatch):
    left_behind(tmp_path, host="elsewhere", pid=7)
    monkeypatch.setattr(lock, "_on_network", lambda descriptor: True)
    with pytest.raises(UserError, match=r"process 7 on elsewhere since .*; if that has ended, remove .*\.ofa-lock"):
        lock.hold(tmp_path)
    monkeypatch.setattr(lock, "_on_network", lambda descriptor: False)
    lock.hold(tmp_path)  # the kernel's lock says that nobody is left: a container that is gone


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', "[" * 100_000, '{"host": 1, "pid": true}'])
def test_a_torn_record_is_nobody(tmp_path, content):
    (tmp_path / ".ofa-lock").write_text(content)
    lock.hold(tmp_path)


def test_a_zombie_holds_nothing():
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    deadline = time.monotonic() + 20
    while " Z " not in open(f"/proc/{process.pid}/stat").read():  # noqa: SIM115
        assert time.monotonic() < deadline
        time.sleep(0.01)
    owner = Owner(os.uname().nodename, process.pid, "1", Owner.mine().boot)
    assert owner.alive() is False
    process.wait()
    assert Owner.mine().alive() is True
    assert Owner.mine().is_me()


def test_only_one_of_many_that_start_at_once_gets_it(tmp_path):
    script = HOLDER.replace("try:", "begin = float(sys.argv.pop())\nwhile time.time() < begin:\n    pass\ntry:", 1)
    for turn in range(3):
        begin = str(time.time() + 2.0)
        words = [sys.executable, "-c", script, str(tmp_path / str(turn)), begin]
        every = [
            subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            for _ in range(5)
        ]  # fmt: skip
        said = [process.stdout.readline().strip() for process in every]
        for process in every:
            process.kill()
            process.wait()
        assert sorted(line == "held" for line in said) == [False] * 4 + [True], said


def test_what_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    for directory in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="is a file, or lies below one; name a directory"):
            lock.hold(directory)
    with pytest.raises(UserError, match="is a file"):
        lock.hold(tmp_path / "file", beside=True)
    with pytest.raises(UserError, match=r"\(3[56]\d\d characters\): cannot be written: File name too long") as found:
        lock.hold(tmp_path / ("x" * 3500))
    assert len(str(found.value)) < 300
    os.mkfifo(tmp_path / ".ofa-lock")
    with pytest.raises(UserError, match="is no plain file; remove it"):
        lock.hold(tmp_path)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / ".ofa-lock").symlink_to(tmp_path / "victim")
    with pytest.raises(UserError, match="cannot be written"):
        lock.hold(tmp_path / "linked")
    assert not (tmp_path / "victim").exists()
    for number, kind in ((28, RunError), (30, UserError)):  # no space; read-only

        def refuses(*_, number=number):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(lock.os, "open", refuses)
        with pytest.raises(kind, match="cannot be written"):
            lock.hold(tmp_path / "new")
        monkeypatch.undo()


def test_a_directory_made_for_nothing_goes_again(tmp_path):
    lock.hold(tmp_path / "a" / "b")
    lock.release(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    lock.hold(tmp_path / "a" / "b")
    (tmp_path / "a" / "result").touch()
    lock.release_all()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["result"]
    lock.hold(tmp_path / "a")
    lock.release(tmp_path / "a")
    assert (tmp_path / "a").exists()  # it was there before


def test_a_directory_that_its_holder_removes_in_that_moment_is_made_again(tmp_path, monkeypatch):
    real, left = os.open, [2]

    def opened(path, *arguments):
        if path == tmp_path / "a" / ".ofa-lock" and left[0]:
            left[0] -= 1
            (tmp_path / "a").rmdir()
        return real(path, *arguments)

    monkeypatch.setattr(lock.os, "open", opened)
    lock.hold(tmp_path / "a")
    assert (tmp_path / "a" / ".ofa-lock").is_file()
    assert left == [0]
