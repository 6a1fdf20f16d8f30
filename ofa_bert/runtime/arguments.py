"""What a program may give as an argument: one line that names the argument, what it was given and what is allowed."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from numbers import Integral, Real

from ofa_bert import reporting
from ofa_bert.errors import UserError


def shown(value: object) -> str:
    """A value of any type in one line; text as it is, unless it is long or would look like something else."""
    if isinstance(value, str) and len(value) <= 60 and value.isprintable() and value == value.strip() != "":
        return value
    return reporting.shown(value)


def word(name: str, value: object, allowed: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise UserError(f"{name} {shown(value)}: must be one of {', '.join(allowed)}")
    return value


def whole_number(name: str, value: object, least: int, most: int | None = None) -> int:
    """The value as Python's int, whatever library's it was; truth values are no numbers."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise UserError(f"{name} {shown(value)}: must be a whole number of at least {least}")
    number = int(value)
    if number < least:
        few = {0: "must not be negative", 1: "must be above 0"}
        raise UserError(f"{name} {shown(number)}: {few.get(least, f'must be at least {least}')}")
    if most is not None and number > most:
        raise UserError(f"{name} {shown(number)}: must be at most {most} on this machine")
    return number


def seconds(name: str, value: object) -> float:
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) < math.inf:
        raise UserError(f"{name} {shown(value)}: must be a number of seconds above 0")
    return float(value)


def path(name: str, value: object) -> str:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str) or not value or "\0" in value:
        raise UserError(f"{name} {shown(value)}: must be the path of a directory")
    return value
