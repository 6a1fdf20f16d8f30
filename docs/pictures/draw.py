"""Draws glue.svg, the picture of README.md, from the table in docs/results/glue.md: python docs/pictures/draw.py"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
TABLE = HERE.parent / "results" / "glue.md"
PICTURE = HERE / "glue.svg"

WIDTH, HEIGHT = 720, 330
LEFT, RIGHT, TOP, BOTTOM = 60, 700, 40, 280  # of the plot's area, pixels
GFLOPS, SCORES = (1.0, 6.0), (70.0, 76.0)
COLOURS = {"teacher": "#444444", "all layers": "#1f6fb4", "half the layers": "#c8611a"}


class Row(NamedTuple):
    """A sub-model of the table."""

    name: str
    gflops: float
    score: float

    @property
    def kind(self) -> str:
        if self.name == "teacher":
            return self.name
        return "all layers" if self.name.endswith("_d1") else "half the layers"

    @property
    def label(self) -> str:
        width = {"1": "width 1", "0.8333": "5/6", "0.6667": "2/3", "0.5": "1/2"}
        return self.name if self.kind == "teacher" else width[self.name.split("_")[0].removeprefix("w")]


def rows_of(text: str) -> list[Row]:
    """The rows of the first table: a name, GFLOPs in the third column, the average in the last."""
    table = [line.strip("|").split("|") for line in text.splitlines() if re.match(r"\| (teacher|w[0-9.]+_d)", line)]
    return [Row(cells[0].strip(), float(cells[2]), float(cells[-1].split()[0])) for cells in table]


def at(gflops: float, score: float) -> tuple[float, float]:
    """Pixels of a point."""
    across = (gflops - GFLOPS[0]) / (GFLOPS[1] - GFLOPS[0])
    up = (score - SCORES[0]) / (SCORES[1] - SCORES[0])
    return round(LEFT + across * (RIGHT - LEFT), 1), round(BOTTOM - up * (BOTTOM - TOP), 1)


def text(x: float, y: float, words: str, colour: str = "#333333", anchor: str = "middle") -> str:
    return f'<text x="{x}" y="{y}" fill="{colour}" text-anchor="{anchor}">{words}</text>'


def frame() -> list[str]:
    """The axes with their numbers and names."""
    lines = [f'<path d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}" fill="none" stroke="#888888"/>']
    for score in range(int(SCORES[0]), int(SCORES[1]) + 1, 2):
        x, y = at(GFLOPS[0], score)
        lines.append(f'<path d="M{x} {y}H{RIGHT}" stroke="#e4e4e4"/>')
        lines.append(text(x - 8, y + 4, str(score), anchor="end"))
    for gflops in range(int(GFLOPS[0]), int(GFLOPS[1]) + 1):
        x, y = at(gflops, SCORES[0])
        lines.append(text(x, y + 18, str(gflops)))
    lines.append(text((LEFT + RIGHT) / 2, HEIGHT - 10, "GFLOPs of one text of 128 tokens"))
    lines.append(text(LEFT - 45, TOP - 18, "average of CoLA, MRPC, STS-B, SST-2 (dev)", anchor="start"))
    return lines


def series(kind: str, rows: Sequence[Row]) -> list[str]:
    """The points of one kind, joined, each with its name."""
    colour = COLOURS[kind]
    points = [at(row.gflops, row.score) for row in rows]
    lines = []
    if len(points) > 1:
        path = "L".join(f"{x} {y}" for x, y in points)
        lines.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
    for row, (x, y) in zip(rows, points, strict=True):
        lines.append(f'<circle cx="{x}" cy="{y}" r="4.5" fill="{colour}"/>')
        above = kind != "half the layers"
        lines.append(text(x, y - 10 if above else y + 20, row.label, colour))
    x, y = points[0]
    if kind == "all layers":
        lines.append(text(RIGHT, y + 24, kind, colour, "end"))
    elif kind == "half the layers":
        lines.append(text(x + 14, y + 4, kind, colour, "start"))
    return lines


def drawn(table: str) -> str:
    """The picture of this table, as SVG."""
    rows = rows_of(table)
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
        "<title>Eight sub-models of one supernet on GLUE</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *frame(),
    ]
    for kind in COLOURS:
        lines += series(kind, [row for row in rows if row.kind == kind])
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(drawn(TABLE.read_text(encoding="utf-8")), encoding="utf-8")
