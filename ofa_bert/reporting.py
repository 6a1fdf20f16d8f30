"""What people read: tables, what their columns mean, and how a message shows a value; matplotlib for pictures."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 12
_SHORT.maxlevel = 3


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as a Markdown table; the first row's keys are the columns, numbers stand to the right."""
    columns = list(rows[0])
    cells = [[str(row[column]) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in [columns, *cells]) for i in range(len(columns))]
    right = [not isinstance(value, str) or _numeric(value) for value in rows[0].values()]

    def line(values: Iterable[str]) -> str:
        padded = [v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right)]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (w + 1) + (":" if r else "-") for w, r in zip(widths, right)) + "|"
    return "\n".join([line(columns), rule, *map(line, cells)])


def legend(rows: Sequence[Mapping[str, object]], meanings: Mapping[str, str]) -> str:
    """What the columns of a table mean, a line each; columns that say it themselves have no meaning and no line.

    meanings: by the whole heading, or where that ends in a blank by how it begins: the rest is a number or a name.
    """
    lines = []
    for column in rows[0]:
        starts = (start for start in meanings if start.endswith(" ") and column.startswith(start))
        known = column if column in meanings else next(starts, None)
        if known is not None:
            lines.append(f"{column}: {meanings[known]}")
    return "\n".join(lines)


def explained(rows: Sequence[Mapping[str, object]], meanings: Mapping[str, str]) -> str:
    """The table, and under it what its columns mean."""
    return f"{table(rows)}\n\n{legend(rows, meanings)}"


def _numeric(text: str) -> bool:
    return text.replace(".", "").replace("-", "").replace("+", "").replace("%", "").replace(" M", "").isdigit()


def millions(count: int | None) -> str:
    return "–" if count is None else f"{count / 1e6:.2f} M"


def pyplot() -> ModuleType:
    """matplotlib.pyplot, drawing into files alone."""
    # Not at the top: drawing is the only thing that needs matplotlib, and it takes a second to import.
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def shown(value: object) -> str:
    """A value, for a message: one line, short however large or nested it is, nothing unprintable."""
    text = _SHORT.repr(value)
    text = " ".join(text.split()) if "\n" in text else text  # as arrays write themselves
    return text if len(text) <= 300 else text[:297] + "..."


def one_line(text: str, most: int = 500) -> str:
    """A text that quotes files, for a message: cut, and nothing unprintable."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:most])


def shown_path(path: str | bytes | os.PathLike[str], most: int = 200) -> str:
    """The name of a file, for a message: as it is, unless nobody would read it to its end."""
    text = os.fsdecode(path)
    return text if len(text) <= most else f"{text[:80]}… ({len(text)} characters)"
