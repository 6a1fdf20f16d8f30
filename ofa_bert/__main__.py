"""python -m ofa_bert <command>: what is not one of the three scripts."""

import importlib
import os
import sys
from collections.abc import Sequence

if not __package__:
    # Run by its path, as Paddle's launcher does, which knows no -m: Python then looks for every module in this folder
    # first, and would give PaddleNLP ours for another of that name.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from ofa_bert.cli.commands.registry import COMMANDS, described
from ofa_bert.cli.process import leave, run_command, show
from ofa_bert.errors import UserError


def work(argv: Sequence[str] | None) -> None:
    if argv and argv[0] in ("-h", "--help"):
        show(f"{str(__doc__).strip()}\n\ncommands:\n{described()}\n\npython -m ofa_bert <command> --help explains one.")
    elif not argv or argv[0] not in COMMANDS:
        given = f"{argv[0]}: no such command; " if argv else ""
        raise UserError(f"{given}commands: {', '.join(sorted(COMMANDS))}. python -m ofa_bert --help explains them.")
    else:
        importlib.import_module(f"ofa_bert.cli.commands.{argv[0]}").run(argv[1:])


def main(argv: Sequence[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    command = COMMANDS.get(argv[0]) if argv else None
    return run_command(work, argv, hint=command.goes_on if command else "")


if __name__ == "__main__":
    leave(main())
