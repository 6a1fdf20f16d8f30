"""Signals inside a command; test_interrupt.py runs them in a process of their own."""

import signal
import time

import paddle
import pytest

from ofa_bert.cli import process
from ofa_bert.models import operators
from ofa_bert.system import interrupts


@pytest.fixture
def _ctrl_c():
    """As in a terminal: a shell's background jobs ignore SIGINT, and the commands then leave it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_a_signal_waits_for_the_end_of_a_backward(number, monkeypatch, capsys):
    came = []

    def interrupted(gradient):
        signal.raise_signal(number)
        time.sleep(0.01)
        came.append(interrupts.pending())
        return gradient

    def work(argv):
        x = paddle.ones([2])
        x.stop_gradient = False
        y = x * 3
        y.register_hook(interrupted)
        interrupts.renew()
        operators.backward(y.sum())
        came.append("went on")

    code = process.run_command(work)
    assert (code, len(came)) == (143 if number == signal.SIGTERM else 130, 1)
    assert f"error: {'terminated' if code == 143 else 'interrupted'}; --resume" in capsys.readouterr().err


@pytest.mark.usefixtures("_ctrl_c")
def test_a_swallowed_interrupt_is_found_again(capsys):
    def work(argv):
        try:
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.1)
        except KeyboardInterrupt:
            pass  # as the teardown of an object does
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
        raise OSError("what other code made of it")

    before = signal.getsignal(signal.SIGINT)
    assert process.run_command(work) == 130
    assert signal.getsignal(signal.SIGINT) is before
    assert "error: interrupted; --resume" in capsys.readouterr().err


@pytest.mark.usefixtures("_ctrl_c")
def test_a_second_signal_forces_and_an_echo_of_the_first_does_not(monkeypatch):
    with interrupts.handled():
        came = []

        def work():
            with interrupts.deferred():
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGTERM)  # a launcher forwards what the terminal sent
                time.sleep(0.01)
                came.append("after the echo")
                monkeypatch.setattr(interrupts, "_SAME", 0.0)
                signal.raise_signal(signal.SIGINT)
                time.sleep(0.1)
                came.append("after the second")

        with pytest.raises(KeyboardInterrupt):
            work()
        assert came == ["after the echo"]
