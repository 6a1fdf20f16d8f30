"""Ctrl-C and SIGTERM at any moment of a training: the exit code, one line, nothing half-written, and --resume."""

import os
import random
import re
import signal
import subprocess
import sys
import time

import paddle
import pytest
from paddle.autograd import PyLayer

from helpers.paths import ROOT, TESTS
from ofa_bert.cli import process
from ofa_bert.errors import RunError
from ofa_bert.models import operators

FUZZ = int(os.environ.get("OFA_BERT_FUZZ") or 0)


class Fails(PyLayer):
    error: "BaseException | None" = None

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    @operators._remembered
    def backward(ctx, gradient):
        if Fails.error is not None:
            raise Fails.error
        return gradient * 2


def loss():
    x = paddle.ones([2])
    x.stop_gradient = False
    return Fails.apply(x).sum()


@pytest.mark.parametrize("error", [MemoryError("none left"), RunError("broke"), KeyboardInterrupt(), ValueError("odd")])
def test_what_a_layer_raises_in_its_backward_arrives_as_it_was(error, monkeypatch):
    monkeypatch.setattr(Fails, "error", error)
    with pytest.raises(type(error)) as found:
        operators.backward(loss())
    assert found.value is error
    monkeypatch.setattr(Fails, "error", None)
    operators.backward(loss())  # and the next pass knows nothing of it


def test_out_of_memory_in_a_backward_is_told_as_such(monkeypatch, capsys):
    monkeypatch.setattr(Fails, "error", MemoryError())
    assert process.run_command(lambda argv: operators.backward(loss())) == 1
    assert "error: out of memory; try a smaller --batch_size" in capsys.readouterr().err


def test_every_layer_of_ours_remembers_what_its_backward_raises():
    ours = [cls for cls in PyLayer.__subclasses__() if cls.__module__.startswith("ofa_bert.")]
    assert len(ours) >= 4
    for layer in ours:
        assert layer.backward.__wrapped__, layer


def test_signals_are_held_back_found_again_and_forced():
    """In a process of its own: what a signal does reaches every test of a process."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{TESTS}"}
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/training/signal_cases.py"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "4 passed" in done.stdout


def options(tiny_bert_dir, glue_dir, output):
    words = ["--model_name_or_path", tiny_bert_dir, "--task_name", "SST-2", "--data_dir", glue_dir]
    words += ["--output_dir", output, *"--device cpu --max_seq_length 16 --batch_size 4 --save_steps 20".split()]
    return [*map(str, words), *"--logging_steps 1 --max_steps 400 --learning_rate 1e-4".split()]


def start(words):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MKL_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-u", str(ROOT / "run_glue.py"), *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
        # A shell's background jobs ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def interrupted(words, number, rng):
    """(exit code, standard error) of a training that gets the signal a random time after its first step."""
    running, lines = start(words), []
    for line in running.stderr:
        lines.append(line)
        if re.search(r"step \d+/\d+  loss", line):
            break
    time.sleep(rng.uniform(0.0, 2.0))
    running.send_signal(number)
    lines.append(running.stderr.read())
    return running.wait(timeout=60), "".join(lines)


@pytest.mark.slow
@pytest.mark.timeout(900 + 300 * FUZZ)
def test_a_training_that_is_interrupted_says_how_it_goes_on_and_does(tiny_bert_dir, glue_dir, tmp_path):
    """Each run goes on where the one before was stopped, so that every one proves that --resume works."""
    rng, resume, codes = random.Random(f"interrupts {FUZZ}"), [], []
    words = options(tiny_bert_dir, glue_dir, tmp_path / "out")
    for turn in range(2 + FUZZ):
        number = (signal.SIGINT, signal.SIGTERM)[turn % 2]
        code, said = interrupted([*words, *resume], number, rng)
        assert "Traceback" not in said, said
        assert code in (0, 130, 143), said
        left = {path.name for path in (tmp_path / "out").iterdir()}
        print(code, said[-1500:])
        assert not {name for name in left if name.startswith(".") and not name.startswith(".token")}, left
        codes.append(code)
        resume = ["--resume"]
        if code == 0:  # it came to its end
            assert "best" in left
            break
        word = "terminated" if number == signal.SIGTERM else "interrupted"
        assert code == (143 if number == signal.SIGTERM else 130), said
        assert said.splitlines()[-1] == f"error: {word}; --resume continues from the newest checkpoint"
    assert set(codes) & {130, 143}
