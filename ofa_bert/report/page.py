"""The page of a directory: one file that needs nothing else, with its pictures beside it as PNG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

from ofa_bert import __version__
from ofa_bert.bundle.latency_table import LatencyTable
from ofa_bert.errors import UserError
from ofa_bert.files.atomic import write_json_atomic, write_text_atomic
from ofa_bert.report.html import Html, element, joined
from ofa_bert.report.pictures import figure, shown
from ofa_bert.report.run_files import ABOUT, PAGE, RunFiles
from ofa_bert.report.sections import making
from ofa_bert.report.sections.registry import FOLDED, SECTIONS
from ofa_bert.report.style import STYLE
from ofa_bert.report.values import Chart, Number, Picture, Section, Table
from ofa_bert.system import packages


def write_page(
    directory: str | Path, command: str = "", tables: Mapping[str, LatencyTable] | None = None
) -> tuple[Path, str]:
    """Write report.html into the directory of a run, and of each run in it; (its path, why pictures are missing or "").

    command: the words that made it, which are kept for the pages after this one. tables: latency tables by their paths,
    for what a supernet's sub-models take. UserError for a directory that no run left.
    """
    directory, missing = Path(directory), _lacking()
    run = RunFiles.read(directory, tables)
    if command and command not in run.commands:
        write_json_atomic(directory / ABOUT, {"commands": [*run.commands, command]})
        run = RunFiles.read(directory, tables)
    for part in run.parts:
        write_text_atomic(part / PAGE, page_of(RunFiles.read(part, tables), missing))
    path = directory / PAGE
    write_text_atomic(path, page_of(run, missing))
    return path, missing


def _lacking() -> str:
    try:
        packages.require("matplotlib")
    except UserError as error:
        return str(error)
    return ""


def page_of(run: RunFiles, missing: str) -> Html:
    """The whole page; its pictures are written beside it. missing: why there can be none, or ""."""
    sections = [made for make in SECTIONS if (made := make(run)) is not None]
    folded = [made for make in FOLDED if (made := make(run)) is not None]
    title = f"{run.what}: {run.task}" if run.task else run.what
    named = {f"s{number}": section for number, section in enumerate(sections)}
    links = [element("a", section.title, href=f"#{name}") for name, section in named.items()]
    body = element(
        "main",
        element("p", run.directory.resolve().name, class_="dim"),
        element("h1", title),
        element("nav", *links) if len(links) > 1 else None,
        _summary(run),
        *(_section(section, run, missing, name) for name, section in named.items()),
        _parts(run),
        *(_folded(section, run) for section in folded),
        element("p", f"Made by ofa_bert {__version__}, report.html", class_="dim"),
    )
    return joined([Html("<!DOCTYPE html>\n"), _document(title, body), "\n"])


def _document(title: str, body: Html) -> Html:
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(STYLE)),
    )
    return element("html", head, element("body", body), lang="en")


def _summary(run: RunFiles) -> Html:
    facts = [element("div", element("b", value), element("span", name), class_="fact") for name, value in _facts(run)]
    said = making.commands(run)
    return element(
        "section",
        element("div", *facts, class_="facts") if facts else None,
        *(element("pre", command) for command in said),
    )


def _facts(run: RunFiles) -> Iterator[tuple[str, str]]:
    """(name, value) of what is looked for first."""
    results = run.results
    best = results.value.get("best")
    if isinstance(best, Mapping) and isinstance(best.get("score"), float):
        yield f"best score ({run.metric})", f"{best['score']:.4f}"
    if isinstance(best, list) and best:
        rows = results.each("best")
        for row in (rows[0], rows[-1]):
            yield f"{row.text('name')} ({run.metric})", f"{row.inner('scores').number('score', default=math.nan):.4f}"
    if run.best_step is not None:
        yield "steps until best/", f"{run.best_step:,}"
    if run.evaluations:
        yield "steps in all", f"{max(step for step, _ in run.evaluations):,}"
    for name in ("seconds", "search_seconds"):
        if name in results:
            yield "time", _duration(results.number(name, 0))
    if "peak_memory_mib" in results:
        yield "peak memory", f"{results.whole('peak_memory_mib', 0):,} MiB"
    if results.whole("processes", default=1) > 1:
        yield "processes", str(results.whole("processes"))
    seed = run.config.get("seed")
    if isinstance(seed, int):
        yield "seed", str(seed)
    device = run.config.get("device")
    if isinstance(device, str):
        yield "device", device


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _section(section: Section, run: RunFiles, missing: str, name: str) -> Html:
    return element("section", element("h2", section.title), *_blocks(section, run, missing), id=name)


def _folded(section: Section, run: RunFiles) -> Html:
    return element("section", element("details", element("summary", section.title), *_blocks(section, run, "")))


def _blocks(section: Section, run: RunFiles, missing: str) -> Iterator[Html]:
    """Its parts in their order; charts that follow each other stand side by side."""
    for kind, parts in groupby(section.parts, key=type):
        if kind is Chart:
            drawn = (figure(part, run.directory, missing) for part in parts if isinstance(part, Chart))
            yield element("div", *drawn, class_="charts")
            continue
        for part in parts:
            if isinstance(part, Table):
                yield _table(part)
            elif isinstance(part, Picture):
                yield from filter(None, [shown(part, run.directory, missing)])
            elif isinstance(part, str):
                yield element("p", part)


def _table(table: Table) -> Html:
    numeric = [any(isinstance(row[place], Number) for row in table.rows) for place in range(len(table.columns))]
    head = [element("th", name, class_="number" if right else None) for name, right in zip(table.columns, numeric)]
    rows = [_row(row, numeric, place in table.marked) for place, row in enumerate(table.rows)]
    whole = element("table", element("thead", element("tr", *head)), element("tbody", *rows))
    note = element("p", table.note, class_="note") if table.note else None
    return element("div", element("div", whole, class_="scroll"), note)


def _row(cells: Sequence[Number | str | None], numeric: Sequence[bool], marked: bool) -> Html:
    made = []
    for cell, right in zip(cells, numeric, strict=True):
        if isinstance(cell, Number):
            made.append(element("td", cell.shown, class_="number", data_value=repr(cell.value)))
        else:
            made.append(element("td", cell or "", class_="number" if right else "text"))
    return element("tr", *made, class_="marked" if marked else None)


def _parts(run: RunFiles) -> Html | None:
    """Links to the pages of the runs in this directory."""
    if not run.parts:
        return None
    links = [
        element("li", element("a", part.name, href=f"{quote(part.name)}/{PAGE}"), f" {RunFiles.read(part).what}")
        for part in run.parts
    ]
    return element("section", element("h2", "Parts"), element("ul", *links))
