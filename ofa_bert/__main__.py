"""ofa-bert <command>, the same as python -m ofa_bert <command>: everything from finetuning to serving."""

import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

if not __package__:
    # Run by its path, as Paddle's launcher does, which knows no -m: Python then looks for every module in this folder
    # first, and would give PaddleNLP ours for another of that name.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from ofa_bert import __version__
from ofa_bert.cli.commands.registry import COMMANDS, described
from ofa_bert.cli.parser import program
from ofa_bert.cli.process import leave, run_command, show
from ofa_bert.errors import UserError
from ofa_bert.reporting import one_line


def work(argv: Sequence[str] | None) -> None:
    name = _named(argv)
    if argv and argv[0] in ("-h", "--help"):
        show(f"{str(__doc__).strip()}\n\ncommands:\n{described()}\n\n{program()} <command> --help explains one.")
    elif argv and argv[0] == "--version":
        show(f"ofa_bert {__version__}")
    elif not argv or name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        meant = f", did you mean {close[0]}?" if close else ""
        wrong = f"{one_line(argv[0], 80)}: no such command{meant}" if argv else "say what to do"
        raise UserError(f"{wrong}; commands: {', '.join(sorted(COMMANDS))}. {program()} --help explains them.")
    else:
        importlib.import_module(f"ofa_bert.cli.commands.{name}").run(argv[1:])


def _named(argv: Sequence[str] | None) -> str:
    """The command's name in the registry; export-serving is export_serving."""
    return argv[0].replace("-", "_") if argv else ""


def main(argv: Sequence[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    command = COMMANDS.get(_named(argv))
    return run_command(work, argv, hint=command.goes_on if command else "")


def script() -> NoReturn:
    """The installed program ofa-bert."""
    leave(main())


if __name__ == "__main__":
    script()
