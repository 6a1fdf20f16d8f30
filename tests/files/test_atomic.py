"""Directories and JSON files that appear at once: killed anywhere, on a full disk, over others' files."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.paths import ROOT
from helpers.replacing import NEW, fill
from ofa_bert.errors import RunError, UserError
from ofa_bert.files import atomic, reading

OLD = {atomic.MODEL_META: "old", "weights": "old" * 1000}

# Replaces argv[1] by NEW and dies by SIGKILL at the point argv[2].
KILLED = """
import os, shutil, signal, sys
sys.path[:0] = sys.argv[3:5]
from helpers.replacing import NEW, fill

from ofa_bert.files import atomic

target, point = sys.argv[1:3]
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
def die_at_second(function, calls=[]):
    def wrapped(*args):
        calls.append(args)
        return die() if len(calls) == 2 else function(*args)
    return wrapped
def remove_half(path):
    os.unlink(os.path.join(path, "weights"))
    die()

if point.startswith("fallback"):
    atomic._exchange = lambda *_: False
if point == "before the swap":
    atomic._put_in_place = die
if point == "after the exchange":
    atomic._sync = lambda path: die() if str(path) == os.path.dirname(os.path.realpath(target)) else None
if point == "fallback between the renames":
    atomic.os.rename = die_at_second(os.rename)
if point.endswith("removing the old one"):
    atomic.shutil.rmtree = remove_half
with atomic.atomic_directory(target) as new:
    fill(new, NEW)
    if point == "while filling":
        die()
"""
POINTS = {
    "while filling": "old",
    "before the swap": "old",
    "after the exchange": "new",
    "removing the old one": "new",
    "fallback between the renames": "new",
    "fallback removing the old one": "new",
}


def content_of(directory):
    return {path.name: path.read_text() for path in Path(directory).iterdir()}


def run_killed(target, point):
    command = [sys.executable, "-c", KILLED, str(target), point, str(ROOT), str(ROOT / "tests")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == -9, done.stderr


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_leaves_the_old_or_the_new_directory(tmp_path, point):
    target = tmp_path / "best"
    fill(target, OLD)
    run_killed(target, point)
    if point != "fallback between the renames":
        assert content_of(target) in (OLD, NEW)  # whole also for a program that knows nothing of `recover`
    atomic.recover(target)
    assert content_of(target) == (OLD if POINTS[point] == "old" else NEW)
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


@pytest.mark.parametrize("point", ["while filling", "before the swap"])
def test_a_kill_during_the_first_write_leaves_nothing_that_looks_whole(tmp_path, point):
    run_killed(tmp_path / "best", point)
    left = list(tmp_path.iterdir())
    atomic.finish_replacement(tmp_path / "best")  # what a reader does; the writer could still be alive
    assert list(tmp_path.iterdir()) == left
    assert not (tmp_path / "best").exists()
    with atomic.atomic_directory(tmp_path / "best") as new:
        fill(new, NEW)
    assert content_of(tmp_path / "best") == NEW
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("exchange", [True, False])
def test_replacing(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(atomic, "_exchange", lambda *_: False)
    target = tmp_path / "deep" / "best"
    for content in (OLD, NEW, OLD):
        with atomic.atomic_directory(target) as new:
            assert list(new.iterdir()) == []
            fill(new, content)
            (new / "sub").mkdir()
        (target / "sub").rmdir()
        assert content_of(target) == content
    assert [path.name for path in target.parent.iterdir()] == ["best"]


def test_exchange_works_here():
    """Otherwise the tests above would only ever see the fallback."""
    if not sys.platform.startswith("linux"):
        pytest.skip("renameat2 is Linux's")
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        first, second = Path(directory, "first"), Path(directory, "second")
        fill(first, OLD)
        fill(second, NEW)
        assert atomic._exchange(first, second)
        assert content_of(first) == NEW
        assert content_of(second) == OLD


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), UserError("bad input")])
def test_an_error_inside_changes_nothing(tmp_path, error):
    target = tmp_path / "best"
    fill(target, OLD)
    with pytest.raises(type(error)), atomic.atomic_directory(target) as new:  # noqa: PT012  the block is what is tested
        fill(new, NEW)
        raise error
    assert content_of(target) == OLD
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path, monkeypatch, step):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    target = tmp_path / "best"
    fill(target, OLD)
    monkeypatch.setattr(atomic, "_exchange", lambda *_: False)
    monkeypatch.setattr(atomic.os, step, full)
    full_disk = pytest.raises(RunError, match="best: cannot be written: No space left on device; free some space")
    with full_disk, atomic.atomic_directory(target) as new:
        fill(new, NEW)
    if step == "fsync":
        with pytest.raises(RunError, match="No space left"):
            atomic.write_json_atomic(target / atomic.MODEL_META, "new")
    assert content_of(target) == OLD
    assert len(list(tmp_path.iterdir())) == 1


def test_a_failing_second_rename_puts_the_old_directory_back(tmp_path, monkeypatch):
    target, rename = tmp_path / "best", os.rename
    fill(target, OLD)
    calls = []

    def second_fails(*paths):
        calls.append(paths)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        rename(*paths)

    monkeypatch.setattr(atomic, "_exchange", lambda *_: False)
    monkeypatch.setattr(atomic.os, "rename", second_fails)
    with pytest.raises(RunError, match="Input/output error"), atomic.atomic_directory(target) as new:
        fill(new, NEW)
    assert content_of(target) == OLD
    assert len(list(tmp_path.iterdir())) == 1


def test_a_truly_full_disk(tmp_path):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        target = tmp_path / "best"
        fill(target, OLD)
        with pytest.raises(RunError, match="No space left on device"), atomic.atomic_directory(target) as new:
            (new / "weights").write_bytes(bytes(1 << 20))
        assert content_of(target) == OLD
        assert len(list(tmp_path.iterdir())) == 1
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_files_of_the_user_are_never_replaced(tmp_path):
    mine = tmp_path / "mine"
    fill(mine, {"thesis.txt": "years of work"})
    with pytest.raises(UserError, match="did not write"), atomic.atomic_directory(mine):
        raise AssertionError("not reached")
    with pytest.raises(UserError, match="is a file"), atomic.atomic_directory(mine / "thesis.txt"):
        raise AssertionError("not reached")
    assert content_of(mine) == {"thesis.txt": "years of work"}
    (tmp_path / "empty").mkdir()
    with atomic.atomic_directory(tmp_path / "empty") as new:
        fill(new, NEW)
    assert content_of(tmp_path / "empty") == NEW


def test_a_link_keeps_pointing_at_the_replaced_directory(tmp_path):
    fill(tmp_path / "real", OLD)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with atomic.atomic_directory(tmp_path / "link") as new:
        fill(new, NEW)
    assert (tmp_path / "link").is_symlink()
    assert content_of(tmp_path / "real") == NEW


def test_a_path_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("x")
    no_directory = pytest.raises(RunError, match="cannot be written: Not a directory")
    with no_directory, atomic.atomic_directory(tmp_path / "file" / "best"):
        raise AssertionError("not reached")


def test_json(tmp_path):
    path = tmp_path / "deep" / "a.json"
    atomic.write_json_atomic(path, {"ü": [1, 2.5, None]})
    assert reading.read_json(path) == {"ü": [1, 2.5, None]}
    with pytest.raises(TypeError):
        atomic.write_json_atomic(path, {"ü": object()})
    assert reading.read_json(path) == {"ü": [1, 2.5, None]}
    assert len(list(path.parent.iterdir())) == 1
    for content, words in (
        (b"{", "not a JSON file"),
        (b"\xff\xfe", "not a JSON file"),
        (b"", "not a JSON file"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=words):
            reading.read_json(path)
    with pytest.raises(UserError, match="No such file"):
        reading.read_json(tmp_path / "b.json")


def test_half_of_a_surrogate_pair_in_json_comes_back(tmp_path):
    value = {"\ud83d": ["a\udfffb", "\U0001fae9"]}
    atomic.write_json_atomic(tmp_path / "x.json", value)
    assert reading.read_json(tmp_path / "x.json") == value
    assert "\U0001fae9" in (tmp_path / "x.json").read_text("utf-8")
