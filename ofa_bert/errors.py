"""The two errors that end a command with one line instead of a stack trace."""

_LONGEST_LINE = 1000  # of what others say; it may quote a whole file


class UserError(Exception):
    """Something the user gave cannot work. The message names the value, what is allowed and the cure.

    Options stand in backticks, which read as flags on a command line. A command ends with `exit_code`.

    >>> from ofa_bert import SubModelConfig, UserError
    >>> try:
    ...     SubModelConfig(layers=(), heads=(), ffn=())
    ... except UserError as error:
    ...     print(error.exit_code, error)
    2 not a sub-model: it keeps no layer
    """

    exit_code = 2


class RunError(UserError):
    """The input was fine but the run failed: a full disk, an export that does not match its model.

    Whoever catches UserError catches this too.

    >>> from ofa_bert import RunError, UserError
    >>> issubclass(RunError, UserError), RunError.exit_code
    (True, 1)
    """

    exit_code = 1


def first_line(error: BaseException) -> str:
    """What an error of another library says, in one line that can be shown; its type when it says nothing."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return "".join(letter if letter.isprintable() else "?" for letter in line[:_LONGEST_LINE])
