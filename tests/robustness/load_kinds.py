"""What a simulation of a load reads: points, a benchmark's rows, traces."""

from __future__ import annotations

import json
from pathlib import Path

from helpers import mutations
from helpers.loads import LADDER, as_json
from robustness.kind import FileKind


def points(directory: Path) -> Path:
    (directory / "points.json").write_text(json.dumps(as_json(LADDER)), "utf-8")
    return directory / "points.json"


def rows(directory: Path) -> Path:
    made = [
        {"bundle": "w1", "backend": "onnx_runtime", "precision": "fp32", "peer": False, "threads": 1,
         "batch": batch, "length": 128, "p50_ms": 5.0 * batch, "score": 90.0}
        for batch in (1, 4)
    ]  # fmt: skip
    (directory / "rows.json").write_text(json.dumps({"rows": made, "skipped": []}), "utf-8")
    return directory / "rows.json"


def read_points(path: Path) -> None:
    """They can be told apart and decide something."""
    from ofa_bert.load import points_file
    from ofa_bert.load.policies.base import Request
    from ofa_bert.load.policies.slackfit import SlackFit

    SlackFit(points_file.read_points([str(path)])).decide(0.0, [Request(50.0, 0, 0.0, 1)], 1)


def trace(directory: Path) -> Path:
    lines = ["seconds,length,priority", *(f"{at / 10},{16 + at},{at % 2}" for at in range(20))]
    (directory / "trace.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return directory / "trace.csv"


def read_trace(path: Path) -> None:
    from ofa_bert.load import trace_file
    from ofa_bert.load.simulation import requests_of

    requests_of(trace_file.read_trace(str(path), 128), 50.0)


KINDS = (
    FileKind("points.json", points, read_points, mutations.of_json, cases=100),
    FileKind("rows of bench", rows, read_points, mutations.of_json, cases=100),
    FileKind("trace .csv", trace, read_trace, mutations.of_lines),
)
