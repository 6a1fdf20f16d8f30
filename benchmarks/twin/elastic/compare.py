"""What both sides of a comparison of `pretrain --elastic` wrote, side by side."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from twin.prove import check_of_begin, check_of_end, checks_of_drawn, rows_of, worst
from twin.record import TWIN, read_steps, results_of
from twin.tables import LIMIT, Check, Row

MOST_LAST = 1e-3  # of a distance after the last step, whose weights may differ a little


def compared(folder: Path) -> tuple[list[Row], list[Check]]:
    """(a row for every loss, the other checks)."""
    steps, twin = read_steps(folder), json.loads((folder / TWIN).read_text())
    return rows_of(steps, twin), list(_checks(folder, twin))


def _checks(folder: Path, twin: Mapping[str, Any]) -> Iterator[Check]:
    product = results_of(folder)
    kept, other = product["kept_layers"], twin["kept_layers"]
    yield Check("depths with other layers", sum(kept.get(name) != other.get(name) for name in {*kept, *other}), 0)
    yield check_of_begin(folder)
    yield from checks_of_drawn(twin)
    yield check_of_end(folder)
    yield Check("distance from the encoder, as it came", _apart(product["start"], twin["start"]), LIMIT)
    yield Check(
        "distance from the encoder, after the last step", _apart(product["last"]["scores"], twin["last"]), MOST_LAST
    )


def _apart(product: Mapping[str, Mapping[str, float]], twin: Mapping[str, Mapping[str, float]]) -> float:
    """The largest difference, relative above 1, absolute below; NaN where the twin lacks a number."""
    return worst(
        abs(value - twin.get(name, {}).get(part, math.nan)) / max(1.0, abs(value))
        for name, values in product.items()
        for part, value in values.items()
    )
