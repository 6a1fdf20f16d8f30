"""python -m ofa_bert simulate: every number of workers, load and policy with every other; rows, table, picture."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ofa_bert.errors import UserError
from ofa_bert.files.atomic import write_json_atomic, write_text_atomic
from ofa_bert.load.job import DRAWN, SimulateJob, TraceSettings
from ofa_bert.load.points import Point, pareto
from ofa_bert.load.points_file import read_points
from ofa_bert.load.policies.base import Policy
from ofa_bert.load.policies.registry import policy_named
from ofa_bert.load.report import Row, capacity_lines, load_plot, load_table, row_of
from ofa_bert.load.simulation import requests_of, simulate
from ofa_bert.load.trace_file import read_trace
from ofa_bert.load.traces import Trace, bursty, day, poisson, with_lengths
from ofa_bert.options import to_json
from ofa_bert.system import packages

logger = logging.getLogger(__name__)

_RATE = 100.0
JSON_FILE, TABLE_FILE, PLOT = "simulation.json", "table.md", "load.png"


def simulate_load(job: SimulateJob, argv: Sequence[str]) -> str:
    """What is printed; the same and more goes to `output_dir`."""
    packages.require("matplotlib")  # before the work, not after it
    every = read_points(job.points)
    points = pareto(every)
    policies = {word: policy_named(word, points if ":" not in word else every) for word in job.policies}
    _check_deadline(points, job.deadline_ms)
    longest = min(point.lengths[-1] for point in every)
    traces = list(_traces(job.arrivals, longest))
    rows = list(_rows(job, traces, policies, points[0].score is not None))
    directory = Path(job.output_dir)
    content = {
        "command": shlex.join(["ofa_bert", "simulate", *argv]),
        "settings": to_json(job),
        "points": [point.name for point in points],
        "left_out": [point.name for point in every if point not in points],
        "rows": rows,
    }
    write_json_atomic(directory / JSON_FILE, content)
    text = load_table(rows) + "\n\n" + "\n".join(capacity_lines(rows, job.attainment))
    write_text_atomic(directory / TABLE_FILE, text + "\n")
    load_plot(rows, directory / PLOT)
    return f"{text}\n\n{directory}: {JSON_FILE}, {TABLE_FILE}, {PLOT}"


def _check_deadline(points: Sequence[Point], deadline: float) -> None:
    fastest = min(point.milliseconds(1, 1) for point in points)
    if fastest > deadline:
        raise UserError(
            f"`deadline_ms` {deadline:g}: the fastest point takes {fastest:.3g} ms for one request; allow more"
        )


def _traces(settings: TraceSettings, longest: int) -> Iterator[Trace]:
    """One for each load. UserError for a request that is longer than what was measured."""
    if settings.trace in DRAWN:
        for rate in settings.rate or (_RATE,):
            yield _drawn(settings, rate, longest)
        return
    trace = read_trace(settings.trace, longest)
    if trace.lengths.max() > longest:
        raise UserError(
            f"{settings.trace}: a request has length {trace.lengths.max()}, points are measured up to {longest}"
        )
    for own in settings.rate or (None,):
        limited = _limited(
            trace if own is None or not np.isfinite(trace.rate) else trace.at_rate(own), settings.seconds
        )
        if not np.isfinite(trace.rate if own else limited.rate):
            raise UserError(f"{settings.trace}: all requests come at once, which is no load; give their times")
        yield limited


def _limited(trace: Trace, seconds: float | None) -> Trace:
    return trace if seconds is None else trace.until(seconds)


def _drawn(settings: TraceSettings, rate: float, longest: int) -> Trace:
    lengths = settings.lengths or (longest,)
    if max(lengths) > longest:
        raise UserError(f"`lengths` {max(lengths)}: points are measured up to {longest}")
    random = np.random.default_rng(settings.seed)
    if settings.trace == "bursty":
        arrivals = bursty(rate, settings.duration, settings.cv2, random)
    else:
        arrivals = (day if settings.trace == "day" else poisson)(rate, settings.duration, random)
    if not len(arrivals):
        raise UserError(f"`rate` {rate:g}: no request came in {settings.duration:g} seconds; make `seconds` larger")
    return with_lengths(arrivals, lengths, settings.length_counts or [1] * len(lengths), random)


def _rows(job: SimulateJob, traces: Sequence[Trace], policies: dict[str, Policy], scored: bool) -> Iterator[Row]:
    given = job.arrivals.rate or ((_RATE,) if job.arrivals.trace in DRAWN else (traces[0].rate,))
    for workers in job.workers:
        for rate, trace in zip(given, traces):
            requests = requests_of(trace, job.deadline_ms)
            for name, policy in policies.items():
                logger.debug("%d workers, %g requests a second: %s", workers, rate, name)
                yield row_of(simulate(requests, policy, workers), rate, name, scored)
