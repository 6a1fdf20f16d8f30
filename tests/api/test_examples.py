"""The example in the docstring of every public name does what it shows."""

import os
import subprocess
import sys

import pytest

import ofa_bert
from helpers.examples import WITH_PADDLE, faults_of_examples, write_files
from helpers.paths import ROOT


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("examples")
    write_files(path)
    return path


def in_fresh_process(directory, *words):
    """The command's process, which sees nothing that this one has set up."""
    own = ("MKL_NUM_THREADS", "OMP_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if name in (*own, "PATH", "HOME")}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.run(
        [sys.executable, *words], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", sorted(set(ofa_bert.__all__) - set(WITH_PADDLE)))
def test_an_example_without_paddle(name, directory, monkeypatch):
    monkeypatch.chdir(directory)
    assert faults_of_examples(name, getattr(ofa_bert, name)) == ""


def test_an_example_that_is_wrong_is_found():
    def wrong():
        """One.

        >>> 1 + 1
        3
        """

    assert "Expected:\n    3\nGot:\n    2" in faults_of_examples("wrong", wrong)
    assert faults_of_examples("none", in_fresh_process) == "none: no example"


@pytest.mark.slow
def test_the_examples_that_train_in_a_fresh_process(directory, tiny_bert_dir):
    """One after the other, since each reads what an earlier one made."""
    (directory / "bert-tiny").symlink_to(tiny_bert_dir)
    done = in_fresh_process(directory, "-m", "helpers.examples", *WITH_PADDLE)
    assert done.returncode == 0, done.stderr
    assert "was imported before" not in done.stderr  # Paddle found its environment ready
    assert not list(directory.rglob(".ofa-lock"))  # what a call held, it let go of
