"""Classes or numbers to predict: what a label column of your own holds, guessed with care and said aloud."""

from __future__ import annotations

import logging
import math
import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from ofa_bert.data.table_files import Table
from ofa_bert.errors import UserError
from ofa_bert.reporting import shown

logger = logging.getLogger(__name__)

Labels = list[tuple[int, str]]  # (line in the file, label)

# How programs write numbers. What float() takes besides are names: "1_2", "nan", "007", "+1" and "1e5" are codes (an
# exponent that a program wrote has its sign), and of more than 15 digits a float cannot tell neighbours apart.
_WRITTEN = re.compile(r"-?((0|[1-9][0-9]{0,14})(\.[0-9]*)?|\.[0-9]+)([eE][+-][0-9]{1,3})?")
# What is a number where numbers were asked for.
_READABLE = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"-?(0|[1-9][0-9]*)(,[0-9]+)?")
_LARGEST = 3.4e38  # labels are float32 in training

# Whole numbers are classes when they are few. So many always are: hardly a scale or a code table has more steps.
FEW = 20
# More of them are when the ordinary one has so many rows: classes recur, or nothing could learn them, while the
# values of a measure thin out. 30 intents with 8 rows each are classes, 100 different prices are not.
ROWS_OF_A_CLASS = 5
_ID_SHARE = 0.95  # different values per row from which on a column looks like an id


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


def folded(label: str) -> str:
    """The label without what readers do not see or do not mean: case, runs of blanks, invisible characters."""
    plain = "".join(c for c in unicodedata.normalize("NFC", label) if unicodedata.category(c) != "Cf")
    number = whole_number(plain)
    return " ".join(plain.casefold().split()) if number is None else str(number)


def find_classes(table: Table, column: str, values: Labels, regression: bool | None) -> tuple[str, ...]:
    """The classes of the training data in their order, or () for numbers to predict. `regression` None: guess.

    Whole numbers that are classes are named alike however they are written: "1" for "1.0".
    Raises UserError when the labels are neither clearly, or look like something else than labels.
    """
    numbers = _are_numbers(table, column, values) if regression is None else regression
    _warn_of_ids(table, column, values)
    if numbers:
        return ()
    if all(whole_number(value) is not None for _, value in values):
        values = [(line, str(whole_number(value))) for line, value in values]
    classes = {value for _, value in values}
    too_many = regression is None and len(classes) > max(FEW, len(values) // 2)
    if len(classes) < 2 or too_many:
        raise UserError(
            f"{table.path}: column {column!r} holds {len(classes)} different label(s) in {len(values)} "
            "rows; is it the label column?"
        )
    _check_twins(table, values, kept=regression is False)
    if regression is None:
        _tell_classes(table, column, classes, len(values))
    return _in_order(classes)


def _are_numbers(table: Table, column: str, values: Labels) -> bool:
    """All labels are numbers, and they are many or one is not whole.

    A few odd ones among numbers that are measured, or a missing number such as nan, are errors and not classes.
    """
    found = [(line, value, number_written(value)) for line, value in values]
    numbers = [number for _, _, number in found if number is not None]
    odd = [(line, value) for line, value, number in found if number is None]
    _refuse_decimal_commas(table, values)
    counts = Counter(numbers)
    measured = not all(number.is_integer() for number in counts) or not _few(counts)
    missing = all(_NOT_FINITE.fullmatch(value) for _, value in odd)
    if numbers and odd and (missing or (measured and len(numbers) >= 0.9 * len(values))):
        line, value = odd[0]
        raise UserError(
            f"{table.path}:{line}: label {shown(value)} is not a finite number, though {len(numbers)} of "
            f"{len(values)} labels are numbers; correct it, or take all for names with --label_kind classes"
        )
    if odd or not measured:
        return False
    # A section "1.2" or a code 3017 looks like a measure as well.
    level = logging.WARNING if len(counts) <= FEW or all(number.is_integer() for number in counts) else logging.INFO
    logger.log(
        level,
        "%s: column %r holds numbers to predict, %d different ones from %g to %g; if they are names of classes, say "
        "--label_kind classes",
        table.path, column, len(counts), min(counts), max(counts),
    )  # fmt: skip
    return True


def _few(counts: Counter[float]) -> bool:
    return len(counts) <= FEW or statistics.median(counts.values()) >= ROWS_OF_A_CLASS


def _refuse_decimal_commas(table: Table, values: Labels) -> None:
    commas = [(line, value) for line, value in values if "," in value]
    if commas and all(_DECIMAL_COMMA.fullmatch(value) for _, value in values):
        line, value = commas[0]
        raise UserError(
            f"{table.path}:{line}: label {shown(value)} looks like a number with a decimal comma; write "
            f"{value.replace(',', '.')}, or take all for names with --label_kind classes"
        )


def _warn_of_ids(table: Table, column: str, values: Labels) -> None:
    different = {value for _, value in values}
    if len(values) > FEW and len(different) >= _ID_SHARE * len(values) and all(map(_is_whole, different)):
        logger.warning(
            "%s: column %r holds another whole number in nearly every row: is it an id? --label_column names the "
            "column of the labels",
            table.path, column,
        )  # fmt: skip


def _is_whole(value: str) -> bool:
    return whole_number(value) is not None


def _check_twins(table: Table, values: Labels, kept: bool) -> None:
    """Refuse labels such as `Positive` beside `positive`, or warn when they were said to be classes.

    A warning would be the kinder answer for the few who mean two classes, but most of the time it is one class that
    two people typed: the model would be trained on noise, its score would look merely mediocre, and in a long log
    nobody reads the line. The few have --label_kind classes.
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
                f"{table.path}:{line}: label {shown(label)} and label {shown(first)} of line {first_line} "
                "differ by no more than case, blanks or what cannot be seen"
            )
            if not kept:
                raise UserError(f"{told}; write them alike, or keep both as classes with --label_kind classes")
            logger.warning("%s; they are kept as two classes", told)


def _tell_classes(table: Table, column: str, classes: set[str], rows: int) -> None:
    """That numbers were taken for classes may be wrong, the more so the more there are."""
    if not all(map(_is_whole, classes)):
        logger.info("%s: column %r holds %d classes", table.path, column, len(classes))
        return
    logger.log(
        logging.WARNING if len(classes) > FEW else logging.INFO,
        "%s: column %r holds %d classes, whole numbers with %.0f rows each; if they are amounts to predict (a score, "
        "an age), say --label_kind numbers",
        table.path, column, len(classes), rows / len(classes),
    )  # fmt: skip


def _in_order(classes: Iterable[str]) -> tuple[str, ...]:
    """By value when they are numbers, else by name."""
    classes = sorted(classes)
    if all(number_written(label) is not None for label in classes):
        return tuple(sorted(classes, key=number_written))
    if all(label.isdecimal() for label in classes):  # some with zeros in front, or longer than int() takes
        return tuple(sorted(classes, key=lambda label: (len(label.lstrip("0")), label.lstrip("0"))))
    return tuple(classes)


def twin_of(label: str, labels: Sequence[str]) -> str | None:
    """The label that differs from this one by no more than what `folded` leaves out."""
    return next((known for known in labels if folded(known) == folded(label)), None)
