"""A command line parsed into a dataclass of options; every problem of it is in one message."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from ofa_bert.errors import UserError
from ofa_bert.options import C, number, whole

_WANTED = {whole: "a whole number", number: "a number"}


def parse(
    cls: type[C],
    argv: Sequence[str] | None,
    description: str,
    epilog: str = "",
    prog: str | None = None,
    elsewhere: Mapping[str, str] | None = None,
) -> C:
    """Parse a command line into `cls`. Every problem is reported in one UserError; `--help` exits as argparse does.

    elsewhere: flag -> why it is refused here, for flags that another use of the command has; default: cls.ELSEWHERE.
    """
    parser = _Parser(
        prog=prog,
        description=description,
        epilog=epilog,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=34, width=110),
        allow_abbrev=False,
    )
    fields = dataclasses.fields(cls)
    for field in fields:
        _add(parser, field)
    namespace, unknown = parser.parse_known_args(argv)
    elsewhere = elsewhere or getattr(cls, "ELSEWHERE", {})
    problems = [_unknown(word, fields, elsewhere) for word in unknown if word.startswith("-")]
    problems += [f"{word}: belongs to no flag" for word in unknown if not word.startswith("-")]
    values = {field.name: _convert(field, getattr(namespace, field.name), problems) for field in fields}
    config = cls(**values)
    if not problems:
        problems = config.problems()
    if problems:
        raise UserError("; ".join(problems) + f". '{parser.prog} --help' explains every flag.")
    return config


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise UserError(f"{message}. '{self.prog} --help' explains every flag.")


def _add(parser: argparse.ArgumentParser, field: dataclasses.Field) -> None:
    meta = field.metadata
    text = meta["help"].replace("%", "%%")
    if meta["kind"] is bool:
        parser.add_argument("--" + field.name, action="store_true", help=text)
        return
    if meta["choices"]:
        text += f" ({', '.join(map(str, meta['choices']))})"
    if meta["required"]:
        text += " [required]"
    elif field.default is not None:
        shown = " ".join(map(str, field.default)) if meta["many"] else field.default
        text += f" [{shown}]"
    parser.add_argument("--" + field.name, nargs="+" if meta["many"] else None, help=text, metavar=_metavar(meta))


def _metavar(meta: Any) -> str:
    return {whole: "N", number: "X"}.get(meta["kind"], "VALUE")


def _unknown(word: str, fields: Sequence[dataclasses.Field], elsewhere: Mapping[str, str]) -> str:
    flag = word.split("=")[0]
    if flag in elsewhere:
        return f"{flag}: {elsewhere[flag]}"
    close = difflib.get_close_matches(flag, ["--" + field.name for field in fields], n=1)
    return f"{flag}: no such flag" + (f"; did you mean {close[0]}?" if close else "")


def _convert(field: dataclasses.Field, given: Any, problems: list[str]) -> Any:
    meta = field.metadata
    if given is None:
        if meta["required"]:
            problems.append(f"--{field.name} is required: {meta['help'].split(';')[0].split('.')[0]}")
        return field.default
    if meta["kind"] is bool:
        return given
    words = given if meta["many"] else [given]
    values = []
    for word in words:
        try:
            value = meta["kind"](word)
        except ValueError:
            problems.append(f"--{field.name} {word}: must be {_WANTED[meta['kind']]}")
            continue
        if meta["choices"] and value not in meta["choices"]:
            problems.append(f"--{field.name} {word}: must be one of {', '.join(map(str, meta['choices']))}")
        values.append(value)
    return tuple(values) if meta["many"] else (values[0] if values else None)
