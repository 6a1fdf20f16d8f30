"""What the page of a run is made from: its log and its results."""

from __future__ import annotations

from pathlib import Path

from helpers import mutations, run_directories
from robustness.kind import FileKind


def log(directory: Path) -> Path:
    return run_directories.supernet(directory) / "log.jsonl"


def read_log(path: Path) -> None:
    from ofa_bert.training.logs import run_log

    run_log.read_log(path.parent)


def results(directory: Path) -> Path:
    return run_directories.supernet(directory) / "results.json"


def read_results(path: Path) -> None:
    """Without pictures, which would take their time."""
    from ofa_bert.report.page import page_of
    from ofa_bert.report.run_files import RunFiles

    page_of(RunFiles.read(path.parent), "not drawn")


KINDS = (
    FileKind("log.jsonl", log, read_log, mutations.of_json_lines, cases=100),
    FileKind("results of a run", results, read_results, mutations.of_json, cases=100),
)
