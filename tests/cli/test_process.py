"""What a command returns, and the one line that it says, for each way to end."""

import errno

import pytest

from ofa_bert.cli.process import run_command
from ofa_bert.errors import RunError, UserError


def ends_with(error):
    def work(argv):
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("--width_mult 2: must be at most 1"), 2, "error: --width_mult 2: must be at most 1"),
        (RunError("the loss is nan at step 3"), 1, "error: the loss is nan at step 3"),
        (MemoryError(), 1, "error: out of memory; try a smaller --batch_size or --max_seq_length"),
        (OSError(errno.ENOSPC, "No space left on device", "out/last"), 1, "error: out/last: No space left on device"),
        (KeyboardInterrupt(), 130, "error: interrupted; --resume continues from the newest checkpoint"),
    ],
)
def test_one_line_and_the_exit_code(error, code, line, capsys):
    assert run_command(ends_with(error)) == code
    assert capsys.readouterr().err.splitlines()[-1] == line


def test_success_is_0_and_an_error_of_ours_keeps_its_trace():
    assert run_command(lambda argv: None) == 0
    with pytest.raises(ZeroDivisionError):
        run_command(ends_with(ZeroDivisionError()))
