"""Command lines from frozen dataclasses: a field is a flag, its help stands beside it, `problems()` says what is wrong.

Parsing imports neither Paddle nor PaddleNLP, so `--help` and a typing mistake answer at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import json
from typing import Any, Callable, Mapping, Optional, Sequence, TypeVar

from ofa_bert.errors import UserError

C = TypeVar("C")

REQUIRED = object()


def option(help: str, default: Any = REQUIRED, kind: Callable = str, many: bool = False, choices: Sequence = ()) -> Any:
    """A dataclass field that is a command-line flag. `kind` converts one word; bool makes it a switch."""
    metadata = {"help": help, "kind": kind, "many": many, "choices": tuple(choices), "required": default is REQUIRED}
    return dataclasses.field(default=None if default is REQUIRED else default, metadata=metadata)


def whole(text: str) -> int:
    return int(text)


def number(text: str) -> float:
    value = float(text)
    if value != value:
        raise ValueError("not a number")
    return value


_WANTED = {whole: "a whole number", number: "a number"}


def parse(
    cls: type[C], argv: Optional[Sequence[str]], description: str, epilog: str = "", prog: Optional[str] = None
) -> C:
    """Parse a command line into `cls`. Every problem is reported in one UserError; `--help` exits as argparse does."""
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
    elsewhere = getattr(cls, "ELSEWHERE", {})
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
    """`elsewhere`: flag -> why it is refused here, for those that another use of the command has."""
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


def positive(config: Any, *names: str) -> list[str]:
    return [
        f"--{name} {getattr(config, name)}: must be above 0"
        for name in names
        if getattr(config, name) is not None and not getattr(config, name) > 0
    ]


def not_negative(config: Any, *names: str) -> list[str]:
    return [f"--{name} {getattr(config, name)}: must not be negative" for name in names if getattr(config, name) < 0]


def multipliers(config: Any, *names: str) -> list[str]:
    problems = []
    for name in names:
        value = getattr(config, name)
        for item in value if isinstance(value, tuple) else (value,):
            if item is not None and not 0 < item <= 1:
                problems.append(f"--{name} {item}: must be above 0 and at most 1, for example 0.6666666666666666")
    return problems


def to_json(config: Any) -> dict[str, Any]:
    """The resolved command line, for saving beside a result."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def changes(before: Mapping[str, Any], now: Mapping[str, Any], mark: str = "") -> str:
    """In words what differs between two sets of settings, "" when nothing does; `mark` goes before each name."""
    names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    return "; ".join(f"{mark}{name} was {before.get(name)}, now {now.get(name)}" for name in names)


def shared(cls: Any, config: Any) -> dict[str, Any]:
    """The values of `config` for the flags that another configuration has too."""
    names = {field.name for field in dataclasses.fields(cls)}
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.name in names}


def arguments(config: Any, defaults: bool = True) -> list[str]:
    """The command line that `parse` makes this configuration from; flags at their defaults only with `defaults`."""
    words: list[str] = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value is None or value is False or (not defaults and value == field.default):
            continue
        words.append(f"--{field.name}")
        if value is not True:
            words += map(str, value if field.metadata["many"] else [value])
    return words
