"""The two errors that end a command with one line instead of a stack trace."""


class UserError(Exception):
    """Something the user gave cannot work. The message names the value, what is allowed and the cure."""

    exit_code = 2


class RunError(UserError):
    """The input was fine but the run failed: a full disk, an export that does not match its model."""

    exit_code = 1


def first_line(error: BaseException) -> str:
    """What an error of another library says, in one line; its type when it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
