"""What a label says as text: a number or a name, and which names nobody can tell apart."""

from __future__ import annotations

import logging
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from ofa_bert.errors import UserError
from ofa_bert.numerics import Ints
from ofa_bert.reporting import one_line, shown

logger = logging.getLogger(__name__)

# How programs write numbers. What float() takes besides are names: "1_2", "nan", "007", "+1" and "1e5" are codes (an
# exponent that a program wrote has its sign), and of more than 15 digits a float cannot tell neighbours apart.
_WRITTEN = re.compile(r"-?((0|[1-9][0-9]{0,14})(\.[0-9]*)?|\.[0-9]+)([eE][+-][0-9]{1,3})?")
# What is a number where numbers were asked for.
_READABLE = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_LARGEST = 3.4e38  # labels are float32 in training

# Whole numbers are classes when they are few. So many always are: hardly a scale or a code table has more steps.
FEW = 20
_SHOWN = 20  # names in a message
_COUNTED = 8  # labels whose number of rows is said one by one
_LONGEST_NAME = 40  # letters of a label in such a line
_ID_SHARE = 0.95  # different values per row from which on a column looks like an id


def counted(names: Sequence[str], counts: Ints) -> str:
    """Every label with its number, in their order; of many the most frequent, and the sum of the others."""
    pairs = [(one_line(name, _LONGEST_NAME), int(count)) for name, count in zip(names, counts)]
    rest = 0
    if len(pairs) > _COUNTED:
        pairs.sort(key=lambda pair: -pair[1])
        rest = sum(count for _, count in pairs[_COUNTED:])
    said = ", ".join(f"{name} {count}" for name, count in pairs[:_COUNTED])
    return f"{said}, {len(pairs) - _COUNTED} others {rest}" if len(pairs) > _COUNTED else said


def number_written(text: str) -> float | None:
    """The number that a program wrote so; None for what only could be read as one."""
    return float(text) if _WRITTEN.fullmatch(text) else None


def readable_number(text: str) -> float | None:
    """The number for a label of a regression; None for anything else and for what float32 cannot hold."""
    number = float(text) if _READABLE.fullmatch(text) else math.inf
    return number if abs(number) <= _LARGEST else None


def whole_number(text: str) -> int | None:
    """The whole number that a label is, however it is written: 1 for "1" and "1.0"."""
    number = number_written(text)
    return int(number) if number is not None and abs(number) < 1e15 and number.is_integer() else None


def is_whole(text: str) -> bool:
    return whole_number(text) is not None


def folded(label: str) -> str:
    """The label without what readers do not see or do not mean: case, runs of blanks, invisible characters."""
    plain = "".join(c for c in unicodedata.normalize("NFC", label) if unicodedata.category(c) != "Cf")
    number = whole_number(plain)
    return " ".join(plain.casefold().split()) if number is None else str(number)


def twin_of(label: str, labels: Sequence[str]) -> str | None:
    """The label that differs from this one by no more than what `folded` leaves out."""
    return next((known for known in labels if folded(known) == folded(label)), None)


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """By value when they are numbers, else by name."""
    names = sorted(names)
    if all(number_written(label) is not None for label in names):
        return tuple(sorted(names, key=lambda label: float(label)))
    if all(label.isdecimal() for label in names):  # some with zeros in front, or longer than int() takes
        return tuple(sorted(names, key=lambda label: (len(label.lstrip("0")), label.lstrip("0"))))
    return tuple(names)


def unknown(value: str, labels: Sequence[str], task: str) -> str:
    """What to say of a label that the task does not have."""
    known = ", ".join(labels[:_SHOWN]) + (", ..." if len(labels) > _SHOWN else "")
    twin = twin_of(value, labels)
    near = f"; {twin!r} is one, write it so" if twin else ""
    return f"unknown label {shown(value)}; task {task} has {known}{near}"


def warn_of_ids(path: Path, column: str, values: Sequence[tuple[int, str]]) -> None:
    """Of a column that looks like no labels at all, (line, value) each."""
    different = {value for _, value in values}
    if len(values) > FEW and len(different) >= _ID_SHARE * len(values) and all(map(is_whole, different)):
        logger.warning(
            "%s: column %r holds another whole number in nearly every row: is it an id? `label_column` names the "
            "column of the labels",
            path, column,
        )  # fmt: skip


def check_twins(path: Path, values: Iterable[tuple[int, str]], keep: str | None) -> None:
    """Refuse labels such as `Positive` beside `positive`, (line, label) each, or warn when they were said to be names.

    A warning would be the kinder answer for the few who mean two classes, but most of the time it is one class that
    two people typed: the model would be trained on noise, its score would look merely mediocre, and in a long log
    nobody reads the line. keep: the flag that the few give; None when it was given.
    """
    seen: dict[str, tuple[int, str]] = {}
    known: set[str] = set()
    for line, label in values:
        if label in known:
            continue
        known.add(label)
        first_line, first = seen.setdefault(folded(label), (line, label))
        if first != label:
            told = (
                f"{path}:{line}: label {shown(label)} and label {shown(first)} of line {first_line} "
                "differ by no more than case, blanks or what cannot be seen"
            )
            if keep is not None:
                raise UserError(f"{told}; write them alike, or keep both as classes with {keep}")
            logger.warning("%s; they are kept as two classes", told)
