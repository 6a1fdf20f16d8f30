"""Command-line flags as fields of frozen dataclasses: help, default and choices stand beside the field."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

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


def unused(config: Any, names: Sequence[str], why: str) -> list[str]:
    """A problem for every flag of these that is not at its default, though nothing would read it."""
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    return [f"--{name}: {why}" for name in names if getattr(config, name) != defaults[name]]


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


def twice(flag: str, values: tuple) -> list[str]:
    return [f"--{flag} {value}: given twice" for value in dict.fromkeys(values) if values.count(value) > 1]


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
