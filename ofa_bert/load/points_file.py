"""Points from files: points.json, or the rows of `bench`.

    {"points": [{"name": "w1", "score": 90.9, "milliseconds": [{"batch": 1, "length": 128, "ms": 18.3}, ...]}, ...]}

`score` may be left out, then of all. Of a benchmark every bundle, back end, precision and number of threads is a point,
with its median times; other projects' models, whose weights are random, are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields
from ofa_bert.files.reading import read_json
from ofa_bert.load.points import Point
from ofa_bert.reporting import one_line, shown

_MOST_BATCH, _MOST_LENGTH = 4096, 1 << 20
_LEAST_MS, _MOST_MS = 1e-6, 1e9
_ROWS = "rows.json"

Measured = dict[tuple[int, int], float]


def read_points(paths: Sequence[str]) -> list[Point]:
    """All points of these files. UserError for a fault, a name that comes twice, or scores that only some have."""
    found = [point for path in paths for point in _read(Path(path))]
    names = [point.name for point in found]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"`points`: {one_line(name, 80)} is there twice; each point needs a name of its own")
    unscored = [point.name for point in found if point.score is None]
    if 0 < len(unscored) < len(found):
        raise UserError(f"`points`: {one_line(unscored[0], 80)} has no score and others have one; give all or none")
    return found


def _read(path: Path) -> list[Point]:
    path = path / _ROWS if path.is_dir() else path
    fields = Fields(read_json(path, finite=True), str(path))
    found = _from_rows(fields) if "rows" in fields else _from_points(fields)
    if not found:
        raise UserError(f"{path}: holds no point; docs/guides/capacity.md shows what it may look like")
    return found


def _from_points(fields: Fields) -> list[Point]:
    return [_point(each, each.text("name"), each.number("score", default=None), _times(each)) for each in _each(fields)]


def _each(fields: Fields) -> list[Fields]:
    return fields.each("points")


def _times(point: Fields) -> Measured:
    times: Measured = {}
    for row in point.each("milliseconds"):
        setting = _setting(row)
        if setting in times:
            raise UserError(f"{row.where}: batch {setting[0]}, length {setting[1]} is there twice")
        times[setting] = row.number("ms", _LEAST_MS, _MOST_MS)
    return times


def _setting(row: Fields) -> tuple[int, int]:
    return row.whole("batch", 1, _MOST_BATCH), row.whole("length", 1, _MOST_LENGTH)


def _from_rows(fields: Fields) -> list[Point]:
    rows = [row for row in fields.each("rows") if not row.switch("peer", default=False)]
    several = len({row.whole("threads", 1) for row in rows}) > 1
    scores: dict[str, float | None] = {}
    times: dict[str, Measured] = {}
    first: dict[str, Fields] = {}
    for row in rows:
        name = " ".join(row.text(part) for part in ("bundle", "backend", "precision"))
        name += f" {row.whole('threads', 1)} threads" if several else ""
        first.setdefault(name, row)
        scores.setdefault(name, row.number("score", default=None))
        setting = _setting(row)
        if setting in times.setdefault(name, {}):
            raise UserError(f"{row.where}: {one_line(name, 80)} has batch {setting[0]}, length {setting[1]} twice")
        times[name][setting] = row.number("p50_ms", _LEAST_MS, _MOST_MS)
    return [_point(first[name], name, scores[name], times[name]) for name in times]


def _point(fields: Fields, name: str, score: float | None, times: Measured) -> Point:
    if not name.strip() or not name.isprintable():
        raise UserError(f"{fields.where}: name is {shown(name)}, must be a text that can be read")
    if not times:
        raise UserError(f"{fields.where}: has no milliseconds")
    for batch in sorted({batch for batch, _ in times}):
        for length in sorted({length for _, length in times}):
            if (batch, length) not in times:
                raise UserError(
                    f"{fields.where}: {one_line(name, 80)} has no milliseconds for batch {batch}, length {length}"
                )
    return Point(name, score, times)
