"""Tables and pictures: what people read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as a Markdown table; the first row's keys are the columns, numbers stand to the right."""
    columns = list(rows[0])
    cells = [[str(row[column]) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in [columns, *cells]) for i in range(len(columns))]
    right = [not isinstance(rows[0][column], str) or _numeric(rows[0][column]) for column in columns]

    def line(values: Iterable[str]) -> str:
        padded = [v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right)]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (w + 1) + (":" if r else "-") for w, r in zip(widths, right)) + "|"
    return "\n".join([line(columns), rule, *map(line, cells)])


def _numeric(text: str) -> bool:
    return text.replace(".", "").replace("-", "").replace("+", "").replace("%", "").replace(" M", "").isdigit()


def millions(count: int) -> str:
    return f"{count / 1e6:.2f} M"


def pyplot() -> Any:
    """matplotlib.pyplot, drawing into files alone."""
    # Not at the top: drawing is the only thing that needs matplotlib, and it takes a second to import.
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def shortened(value: Any) -> str:
    """How a message shows a value that may be long."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
