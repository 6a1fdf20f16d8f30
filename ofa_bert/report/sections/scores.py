"""Scores of what is no supernet: a model beside its teacher, before and after pruning, on a test file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeGuard

from ofa_bert.models.record import is_number, numbers
from ofa_bert.report.run_files import RunFiles
from ofa_bert.report.values import Cell, Section, Table, count, metrics_of, score


def section(run: RunFiles) -> Section | None:
    """Of one model: the best and the last weights, what taught it, what it was before."""
    results = run.results
    if "best" in results and not isinstance(results.value["best"], Mapping):
        return None
    rows: list[tuple[str, object, object]] = [
        ("teacher", results.value.get("teacher"), results.value.get("teacher_parameters")),
        ("before", results.value.get("before"), results.value.get("parameters_before")),
        ("after", results.value.get("after"), results.value.get("parameters")),
        *((f"{name}/", _scores_of(run, name), results.value.get("parameters")) for name in ("best", "last")),
        ("best on dev", results.value.get("dev") if "tuned_on" in results else None, None),
    ]
    known = [(name, numbers(scores), size) for name, scores, size in rows if _are_numbers(scores)]
    if [name for name, _, _ in known] in ([], ["teacher"]):
        return None
    return Section("Scores", [score_table("model", known, "" if "held_out" in results else "On the development data.")])


def test_section(run: RunFiles) -> Section | None:
    """On the file of `test_file`."""
    if "test" not in run.results:
        return None
    test = run.results.inner("test")
    scores = test.inner("scores")
    rows = [(name, numbers(scores.mapping(name)), None) for name in scores.value]
    note = f"{test.whole('examples', 0):,} examples of {test.text('file')}, which chose nothing."
    return Section("On test data", [score_table("model", rows, note)])


def score_table(what: str, rows: Sequence[tuple[str, Mapping[str, float], object]], note: str) -> Table:
    """Rows of (name, scores, parameters where they are known)."""
    metrics = metrics_of([scores for _, scores, _ in rows])
    sized = any(type(size) is int for _, _, size in rows)
    cells: list[list[Cell]] = []
    for name, scores, size in rows:
        own: list[Cell] = [score(scores[metric]) if metric in scores else None for metric in metrics]
        cells.append([name, *([count(size) if isinstance(size, int) else None] if sized else []), *own])
    return Table([what, *(["parameters"] if sized else []), *metrics], cells, note)


def _scores_of(run: RunFiles, name: str) -> object:
    value = run.results.value.get(name)
    return value.get("scores") if isinstance(value, Mapping) else None


def _are_numbers(scores: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(scores, Mapping) and bool(scores) and all(is_number(value) for value in scores.values())
