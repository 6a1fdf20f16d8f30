"""The two errors that end a command with one line instead of a stack trace."""

_LONGEST_LINE = 1000  # of what others say; it may quote a whole file


class UserError(Exception):
    """Something the user gave cannot work. The message names the value, what is allowed and the cure."""

    exit_code = 2


class RunError(UserError):
    """The input was fine but the run failed: a full disk, an export that does not match its model."""

    exit_code = 1


def first_line(error: BaseException) -> str:
    """What an error of another library says, in one line that can be shown; its type when it says nothing."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return "".join(letter if letter.isprintable() else "?" for letter in line[:_LONGEST_LINE])
