"""What a page shows, as values: sections of paragraphs, tables and charts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from matplotlib.axes import Axes  # drawing is the only thing that needs it, and not everybody has it


@dataclass(frozen=True)
class Number:
    """A number of a record, and how a table shows it."""

    value: float
    shown: str


Cell: TypeAlias = "Number | str | None"


@dataclass(frozen=True)
class Table:
    """note: below it. marked: places of rows that stand out, such as the winner's."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    marked: Sequence[int] = ()


@dataclass(frozen=True)
class Chart:
    """A picture that is drawn when the page is written. name: of its file. size: inches."""

    name: str
    title: str
    draw: Callable[[Axes], None]
    size: tuple[float, float] = (4.6, 3.0)
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """One that the command drew itself. file: its name in the directory."""

    file: str
    title: str


Part: TypeAlias = "Table | Chart | Picture | str"


@dataclass(frozen=True)
class Section:
    """A text among the parts is a paragraph."""

    title: str
    parts: Sequence[Part]


def score(value: float) -> Number:
    return Number(value, f"{value:.4f}")


def difference(value: float) -> Number:
    return Number(value, f"{value:+.4f}")


def count(value: int) -> Number:
    return Number(value, f"{value:,}")


def measure(value: float) -> Number:
    """With three digits that tell something, whatever the size."""
    if not math.isfinite(value) or value == 0:
        return Number(value, f"{value:g}")
    return Number(value, f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}")


def share(value: float) -> Number:
    return Number(value, f"{100 * value:.1f} %")


def times(value: float | None) -> Number | None:
    return None if value is None else Number(value, f"{value:.2f}×")


def metrics_of(rows: Sequence[Mapping[str, float]]) -> list[str]:
    """The metrics of several evaluations; without `score` where it is one of the others again."""
    names = list(dict.fromkeys(name for scores in rows for name in scores))
    again = any(all(scores.get(name) == scores.get("score") for scores in rows) for name in names if name != "score")
    return [name for name in names if name != "score" or not again]
