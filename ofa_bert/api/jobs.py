"""Jobs made from options by name, whatever group they stand in, as a command line makes them."""

from __future__ import annotations

import dataclasses
import difflib
import os
import typing
from collections.abc import Mapping
from numbers import Integral, Real
from typing import TypeVar

from ofa_bert.errors import UserError
from ofa_bert.options import Option, build, options_of, problems_of
from ofa_bert.reporting import shown

T = TypeVar("T")

_WANTED = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}


def make_job(kind: type[T], /, **options: object) -> T:
    """A job of that kind with these options; what is left out has its default.

    kind: FinetuneJob, SupernetJob, ExitTrainingJob, ExitChoiceJob, DistilJob, PruneJob, SearchJob, ExportJob or
    EvaluateJob, or one of their groups such as LoopSettings.
    options: called as the command's flags are, and side by side: those of groups, such as `batch_size` of a job's
    `loop`, too. A path may be a Path, several values may be a list.

    Raises UserError with all that is wrong: unknown names, missing ones, values of another type or out of range.

    >>> from ofa_bert import FinetuneJob, UserError, make_job
    >>> job = make_job(FinetuneJob, task_name="demo", model_name_or_path="bert", output_dir="out", batch_size=16)
    >>> job.loop.batch_size, job.loop.num_train_epochs
    (16, 3.0)
    >>> try:
    ...     make_job(FinetuneJob, task_name="demo", model_name_or_path="bert", output_dir="out", bach_size=16)
    ... except UserError as error:
    ...     print(error)
    `bach_size`: FinetuneJob has no such option; did you mean `batch_size`?
    """
    if not isinstance(kind, type) or not dataclasses.is_dataclass(kind):
        raise UserError(f"make_job: {shown(kind)} is no kind of job; give one such as FinetuneJob")
    known = {item.name: item for item in options_of(kind)}
    problems = [_unknown(kind, name, known) for name in options if name not in known]
    values: dict[str, object] = {}
    for name in options.keys() & known.keys():
        for other, value in _values(known[name], options[name], problems).items():
            if values.setdefault(other, value) != value:
                problems.append(
                    f"`{name}` {shown(options[name])}: another option says otherwise; leave one of them out"
                )
    for item in known.values():
        if item.required and item.name not in options:
            problems.append(item.lacking)
    if not problems:
        made = build(typing.cast(type[T], kind), values)
        problems = problems_of(made)
    if problems:
        raise UserError("; ".join(problems))
    return made


def _unknown(kind: type, name: str, known: Mapping[str, Option]) -> str:
    inside = [f"`{item.name}`" for item in known.values() if name in item.path]
    if inside:
        return f"`{name}`: is a group of {kind.__name__}; give its options by their names: {', '.join(inside)}"
    close = difflib.get_close_matches(name, known, n=1)
    return f"`{name}`: {kind.__name__} has no such option" + (f"; did you mean `{close[0]}`?" if close else "")


def _values(item: Option, given: object, problems: list[str]) -> Mapping[str, object]:
    """Option -> value: of this one, and of those that its word stands for as well."""
    spelt = item.spells(given) if item.spells is not None and isinstance(given, str) else None
    return {item.name: _value(item, given, problems)} if spelt is None else spelt


def _value(item: Option, given: object, problems: list[str]) -> object:
    """The value as the job's annotation has it; a problem more when it is of another type."""
    if given is None and item.default is None:
        return None
    several = given if isinstance(given, (list, tuple)) else [given]
    if isinstance(given, (list, tuple)) and not item.many:
        problems.append(f"`{item.name}` {shown(given)}: must be {_WANTED[item.kind]}, one alone")
        return None
    made = []
    for each in several:
        value = _converted(item.kind, each)
        if value is None:
            problems.append(f"`{item.name}` {shown(each)}: must be {_WANTED[item.kind]}")
        made.append(value)
    return tuple(made) if item.many else made[0]


def _converted(kind: type, value: object) -> bool | int | float | str | None:
    """The value as a plain `kind`, NumPy's numbers and paths included; None when it is none."""
    if kind is bool or isinstance(value, bool):
        return value if kind is bool and isinstance(value, bool) else None
    if kind is int:
        return int(value) if isinstance(value, Integral) else None
    if kind is float:
        return float(value) if isinstance(value, Real) and value == value else None
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    return text if isinstance(text, str) else None
