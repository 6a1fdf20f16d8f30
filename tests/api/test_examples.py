"""The example in the docstring of every public name does what it shows."""

import os
import re
import subprocess
import sys

import pytest

import ofa_bert
from helpers.examples import WITH_PADDLE, faults_of_examples, write_files
from helpers.paths import ROOT

FIRST_PAGE = ROOT / "docs" / "api" / "README.md"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("examples")
    write_files(path)
    return path


@pytest.fixture(scope="module")
def with_encoder(directory, tiny_bert_dir):
    (directory / "bert-tiny").symlink_to(tiny_bert_dir)
    return directory


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
@pytest.mark.timeout(900)
def test_the_examples_that_train_in_a_fresh_process(with_encoder):
    """One after the other, since each reads what an earlier one made."""
    done = in_fresh_process(with_encoder, "-m", "helpers.examples", *WITH_PADDLE)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "was imported before" not in done.stderr  # Paddle found its environment ready
    assert not list(with_encoder.rglob("*.ofa-lock"))  # what a call held, it let go of


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_lines_of_the_first_page_do_what_they_say(with_encoder):
    (lines,) = re.findall(r"^```python\n(.*?)^```", FIRST_PAGE.read_text(encoding="utf-8"), re.S | re.M)
    assert len([line for line in lines.splitlines() if line]) <= 10
    check = "assert len(answers) == 2 and all(answer.label in ('bad', 'good') for answer in answers)"
    done = in_fresh_process(with_encoder, "-c", f"{lines}\n{check}")
    assert done.returncode == 0, done.stderr
