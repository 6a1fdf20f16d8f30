"""A command line parsed into a dataclass of options (`ofa_bert.options`); every problem of it is in one message.

Parsing imports neither Paddle nor PaddleNLP, so `--help` and a typing mistake answer at once.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn, TypeVar

from ofa_bert.errors import UserError
from ofa_bert.options import Option, build, options_of, problems_of

T = TypeVar("T")

_WANTED = {int: "a whole number, such as 300 or 2k", float: "a number, such as 0.67, 2/3 or 14M"}
_UNITS = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
INSTALLED = "ofa-bert"
_SCRIPTS = ("run_glue.py", "run_glue_ofa.py", "export_model.py")
GENERAL = {
    "verbose": "also say what was set on this machine before Paddle loads",
    "quiet": "warnings, errors and the result alone; no progress",
}


def as_flags(text: str) -> str:
    """A message with its options, which stand in backticks, as flags."""
    return re.sub(r"`([a-z][a-z0-9_]*)`", r"--\1", text)


def called(command: str) -> str:
    """How a command was started: by one of the three scripts, by the installed program, or by Python."""
    script = os.path.basename(sys.argv[0])
    return script if script in _SCRIPTS else f"{program()} {command}"


def program() -> str:
    """How the program was started that has all commands."""
    return INSTALLED if os.path.basename(sys.argv[0]) == INSTALLED else "python -m ofa_bert"


def paragraphs(text: str) -> tuple[str, str]:
    """(first paragraph, the rest) of a command's description."""
    first, _, rest = text.partition("\n\n")
    return first, rest


def parse(
    cls: type[T],
    argv: Sequence[str] | None,
    description: str,
    epilog: str = "",
    *,
    command: str = "",
    elsewhere: Mapping[str, str] | None = None,
) -> T:
    """Parse a command line into `cls`. Every problem is reported in one UserError; `--help` exits as argparse does.

    command: its name in `commands.registry`. elsewhere: option -> why it is refused here, for those that another use
    of the command has.
    """
    parser = _Parser(
        prog=called(command) if command else None,
        description=description,
        epilog=epilog,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=34, width=110),
        allow_abbrev=False,
    )
    options = options_of(cls)
    for item in options:
        _add(parser, item)
    for name, help in GENERAL.items():
        parser.add_argument("--" + name, action="store_true", help=help)  # `process.run_command` looks for them
    namespace, unknown = parser.parse_known_args(argv)
    problems = [_unknown(word, options, elsewhere or {}) for word in unknown if word.startswith("-")]
    problems += [f"{word}: belongs to no flag" for word in unknown if not word.startswith("-")]
    values: dict[str, object] = {}
    for item in options:
        given = getattr(namespace, item.name)
        if given is None and item.required:
            problems.append(item.lacking)
        elif given is not None:
            for name, value in _values(item, given, problems).items():
                if values.setdefault(name, value) != value:
                    problems.append(f"`{item.name}` {given}: another flag says {values[name]}; leave one of them out")
    if namespace.verbose and namespace.quiet:
        problems.append("`verbose` and `quiet` exclude each other")
    if not problems:
        made = build(cls, values)
        problems = problems_of(made)
    if problems:
        raise UserError(as_flags("; ".join(problems)) + f". '{parser.prog} --help' explains every flag.")
    return made


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}. '{self.prog} --help' explains every flag.")


def _add(parser: argparse.ArgumentParser, item: Option) -> None:
    text = as_flags(item.help).replace("%", "%%")
    if item.kind is bool:
        parser.add_argument("--" + item.name, action="store_true", default=None, help=text)
        return
    if item.choices:
        text += f" ({', '.join(item.choices)})"
    if item.required:
        text += " [required]"
    elif item.default is not None:
        shown = " ".join(map(str, item.default)) if isinstance(item.default, tuple) else item.default
        text += f" [{shown}]"
    metavar = {int: "N", float: "X"}.get(item.kind, "VALUE")
    parser.add_argument("--" + item.name, nargs="+" if item.many else None, help=text, metavar=metavar)


def _unknown(word: str, options: Sequence[Option], elsewhere: Mapping[str, str]) -> str:
    flag = word.split("=")[0]
    if flag.removeprefix("--") in elsewhere:
        return f"{flag}: {elsewhere[flag.removeprefix('--')]}"
    close = difflib.get_close_matches(flag, ["--" + item.name for item in options], n=1)
    return f"{flag}: no such flag" + (f"; did you mean {close[0]}?" if close else "")


def _values(item: Option, given: bool | str | list[str], problems: list[str]) -> Mapping[str, object]:
    """Option -> value: of this one, and of those that its word stands for as well."""
    spelt = item.spells(given) if item.spells is not None and isinstance(given, str) else None
    return {item.name: _convert(item, given, problems)} if spelt is None else spelt


def _convert(item: Option, given: bool | str | list[str], problems: list[str]) -> object:
    if isinstance(given, bool):
        return given
    values: list[object] = []
    for word in given if isinstance(given, list) else [given]:
        try:
            value = _number(item.kind, word) if item.kind in _WANTED else item.kind(word)
        except (ValueError, ZeroDivisionError, OverflowError):
            problems.append(f"`{item.name}` {word}: must be {_WANTED[item.kind]}")
            continue
        if item.choices and value not in item.choices:
            problems.append(f"`{item.name}` {word}: must be one of {', '.join(item.choices)}")
        values.append(value)
    return tuple(values) if item.many else (values[0] if values else None)


def _number(kind: type, word: str) -> int | float:
    """14M and 2/3 are numbers too. ValueError for what is none, NaN among it, and for a whole one with a fraction."""
    if word[-1:] in _UNITS and word[:-1]:
        value = float(word[:-1]) * _UNITS[word[-1]]
        if kind is float:
            return value
        if value != int(value):
            raise ValueError("a fraction")
        return int(value)
    if kind is int:
        return int(word)
    above, slash, below = word.partition("/")
    value = float(above) / float(below) if slash else float(word)
    if value != value:
        raise ValueError("not a number")
    return value
