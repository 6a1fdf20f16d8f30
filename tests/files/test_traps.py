"""Links and pipes that wait at the names that are written: never written through, never waited for."""

from __future__ import annotations

import logging
import os
import signal

import numpy as np
import pytest

from ofa_bert.errors import RunError, UserError
from ofa_bert.files import atomic, reading
from ofa_bert.files.journal import Journal
from ofa_bert.files.weights import read_weights, write_weights

PRECIOUS = "not to be touched"


@pytest.fixture(autouse=True)
def no_hang():
    """A pipe without a reader would wait for ever."""

    def ring(*_):
        raise AssertionError("it waits for a pipe")

    previous = signal.signal(signal.SIGALRM, ring)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


def write_json(path):
    atomic.write_json_atomic(path, {"a": 1})
    assert reading.read_json(path) == {"a": 1}


def write_text(path):
    atomic.write_text_atomic(path, "new\r\n")
    assert path.read_bytes() == b"new\r\n"


def keep(path):
    atomic.keep(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"new"


def weights(path):
    path = path.with_suffix(".safetensors")
    write_weights(path, {"a": np.ones(2, "f4")})
    assert read_weights(path)["a"].tolist() == [1.0, 1.0]


def directory(path):
    with atomic.atomic_directory(path) as new:
        (new / atomic.MODEL_META).write_text("new")
    assert (path / atomic.MODEL_META).read_text() == "new"


def link(name, precious):
    name.symlink_to(precious)


def link_to_nothing(name, precious):
    name.symlink_to(precious.with_name("elsewhere"))


def link_to_directory(name, precious):
    name.symlink_to(precious.parent)


def pipe(name, precious):
    os.mkfifo(name)


def names_beside(path):
    """Every name that a writer of `path` might use on the way."""
    return [
        path.with_name(f".{path.name}.ofa-new"),
        path.with_name(f".{path.name}.ofa-old"),
        path.with_name(f".{path.name}.{os.getpid()}"),
        path.with_suffix(".safetensors"),
    ]


@pytest.mark.parametrize("trap", [link, link_to_nothing, link_to_directory, pipe])
@pytest.mark.parametrize("write", [write_json, write_text, keep, weights, directory])
def test_a_trap_is_removed_and_never_followed(tmp_path, write, trap):
    precious = tmp_path / "home" / "precious"
    precious.parent.mkdir()
    precious.write_text(PRECIOUS)
    path = tmp_path / "run" / "out"
    path.parent.mkdir()
    for name in names_beside(path):
        trap(name, precious)
    write(path)
    assert precious.read_text() == PRECIOUS
    assert [found.name for found in precious.parent.iterdir()] == ["precious"]
    assert not path.is_symlink()


def test_a_planted_link_is_not_taken_for_an_interrupted_replacement(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "precious").write_text(PRECIOUS)
    for end in ("new", "old"):
        (tmp_path / f".best.ofa-{end}").symlink_to(tmp_path / "home")
    atomic.finish_replacement(tmp_path / "best")
    assert not os.path.lexists(tmp_path / "best")
    atomic.recover(tmp_path / "best")
    assert (tmp_path / "home" / "precious").read_text() == PRECIOUS
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_directory_that_waits_is_one_line_and_stays(tmp_path, caplog):
    waiting = tmp_path / ".a.json.ofa-new"
    waiting.mkdir()
    (waiting / "mine").write_text(PRECIOUS)
    with pytest.raises(RunError, match="a.json: cannot be written: Is a directory"):
        atomic.write_json_atomic(tmp_path / "a.json", 1)
    (tmp_path / f".a.npz.{os.getpid()}").mkdir()
    with caplog.at_level(logging.WARNING):
        atomic.keep(tmp_path / "a.npz", lambda file: file.write(b"x"))
    assert "not kept" in caplog.text
    assert not (tmp_path / "a.npz").exists()
    assert (waiting / "mine").read_text() == PRECIOUS


def test_written_files_have_the_usual_mode(tmp_path):
    atomic.write_json_atomic(tmp_path / "a.json", 1)
    (tmp_path / "b.json").write_text("1")
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "b.json").stat().st_mode


LINES = {
    "a pipe": None,
    "cut short": b'{"settings": {}}\n{"key"',
    "no object": b'{"settings": {}}\n"a key"\n',
    "a list as key": b'{"settings": {}}\n{"key": ["a"]}\n',
    "a number as settings": b'{"settings": 1}\n',
    "nested": b'{"settings": {}}\n' + b'{"key": ' + b"[" * 5000 + b"]" * 5000 + b"}\n",
    "no text": b'{"settings": {}}\n\xff\n',
}


@pytest.mark.parametrize("name", LINES)
def test_damaged_journals(tmp_path, name):
    path = tmp_path / "log.jsonl"
    if LINES[name] is None:
        os.mkfifo(path)
    else:
        path.write_bytes(LINES[name])
    if name == "cut short":
        assert Journal(path, {}).records == {}
        return
    with pytest.raises(UserError) as error:
        Journal(path, {})
    assert "\n" not in str(error.value)


def test_digest_of_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="It is a pipe"):
        atomic.file_sha256(tmp_path / "pipe")
