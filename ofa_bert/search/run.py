"""python -m ofa_bert search: uneven sub-models of a supernet under a budget, evaluated without training."""

from __future__ import annotations

import dataclasses
import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict, cast

from ofa_bert.data.encoding import token_ids
from ofa_bert.errors import UserError
from ofa_bert.files import lock
from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.files.studies import Database, Place
from ofa_bert.options import arguments, to_json
from ofa_bert.progress import Progress
from ofa_bert.search.costs.latency import COST as LATENCY
from ofa_bert.search.evaluator import Evaluator, InFull, near_budget
from ofa_bert.search.finetune import finetune
from ofa_bert.search.front import Point, pareto_front, ranked
from ofa_bert.search.guesses import GUESSES, GuessLimits, first_guesses
from ofa_bert.search.job import NsgaSettings, SearchJob, WinnerFinetuning
from ofa_bert.search.nsga2 import Nsga
from ofa_bert.search.report import FrontRows, row, searched, write_front
from ofa_bert.search.setup import costs_of, engines_of, fingerprint, load_supernet, ways_of
from ofa_bert.search.speedups.family import Family, FamilyOrder, make_family
from ofa_bert.search.speedups.report import FamilyResults
from ofa_bert.search.winner import WinnerResults, affordable, export_job, finish, latency_of, way_of_point
from ofa_bert.system import environment
from ofa_bert.system.accelerator import Device
from ofa_bert.system.provenance import versions
from ofa_bert.training.output_directory import RESULTS
from ofa_bert.training.settings import LoopSettings, OptimizerSettings

logger = logging.getLogger(__name__)

STUDY = "study.db"


class About(TypedDict):
    """What results.json says of any search."""

    task: str
    cost: str
    trials: int
    search_seconds: float
    examples: int
    held_out: int
    config: Mapping[str, object]
    versions: Mapping[str, str]


class Winner(WinnerResults, FrontRows):
    """What it says where one sub-model was chosen."""


class SearchResults(About, FamilyResults, Winner):
    """What results.json says; of one winner, or of a family."""


@lock.writer("output_dir", unless="worker")
def search_sub_models(job: SearchJob) -> SearchResults | None:
    """Search, evaluate the front in full, write it and what was chosen of it; what results.json says.

    A worker returns None.
    """
    started, output, cost = time.monotonic(), Path(job.output_dir), job.cost
    supernet = load_supernet(job.source, output / token_ids.DIRECTORY, job.modes.exits)
    if job.finetuning.finetune_steps and supernet.record.exits is not None:
        raise UserError(
            f"`finetune_steps` {job.finetuning.finetune_steps}: would leave the exits of {supernet.where} behind;"
            " leave it out, or search the supernet that they were trained on"
        )
    output.mkdir(parents=True, exist_ok=True)
    ways, space, budget = ways_of(job.modes, supernet), job.space.of(supernet.space), job.wanted.budget()
    costs = costs_of(ways, supernet.space.shape, job.precision)
    settings = fingerprint(job.source, supernet, job.modes.latency_table, job.deciding())
    evaluator = Evaluator(supernet.scorer(job.examples), costs, ways, job.nsga.loss_weight, budget, cost)
    # With exits a sub-model need not keep the limit in one piece.
    limits = GuessLimits(cost, None if job.modes.exits else budget.limits.get(cost), job.nsga.trials, job.examples)
    guesses = first_guesses(supernet, space, costs, limits, output / GUESSES, settings)
    place: Place = output / STUDY if job.nsga.storage is None else Database(job.nsga.storage)
    nsga = Nsga(space, evaluator, cost, budget, guesses, job.nsga.population, job.seed, place, settings)
    if job.nsga.processes > 1 and not job.nsga.worker:
        nsga.run(0)  # makes the file that the workers share
        worker = dataclasses.replace(job, nsga=dataclasses.replace(job.nsga, worker=True))
        _work_together(job.nsga.processes, arguments(worker), output)
    points = _run(nsga, job.nsga, started)
    if job.nsga.worker:
        return None
    seconds = round(time.monotonic() - started, 1)
    judge = InFull(supernet, evaluator, engines_of(supernet, ways, job.seed))
    about: About = {
        "task": supernet.task.name,
        "cost": cost,
        "trials": len(points),
        "search_seconds": seconds,
        "examples": evaluator.scorer.encoded.examples,
        "held_out": supernet.held_out.examples,
        "config": {**to_json(job), "storage": None if job.nsga.storage is None else str(place)},
        "versions": versions(),
    }
    chosen: Winner | Family
    if job.wanted.family.speedups:
        order = FamilyOrder(output, job.wanted.family.speedups, space, settings, job.device)
        chosen = make_family(order, judge, points)
    else:
        loops = _loops(job.finetuning.finetune_steps, job.batch_size, job.seed, job.device)
        chosen = _one_winner(output, judge, points, job.finetuning, loops, job.precision)
    results = cast(SearchResults, {**about, **chosen})
    write_json_atomic(output / RESULTS, results)
    return results


def _one_winner(
    output: Path, judge: InFull, points: Sequence[Point], finetuning: WinnerFinetuning, loops: LoopSettings,
    precision: str | None,
) -> Winner:  # fmt: skip
    """Write the front and its winner within the budget. precision: of the exported file, where no table says one."""
    supernet, evaluator, engines = judge.supernet, judge.evaluator, judge.engines
    budget, ways = evaluator.budget, evaluator.ways
    found, grid = judge.front(points, near_budget(budget))
    front = pareto_front(found)
    winner, tried = affordable(supernet, ranked(front, budget), ways, budget.limits.get(LATENCY.name))
    about_it = searched(supernet, evaluator.cost, len(points), budget)
    rows = write_front(output, front, grid, winner, supernet, about_it)
    about = latency_of(tried)
    if finetuning.finetune_steps:
        adam = OptimizerSettings(learning_rate=finetuning.learning_rate)
        about["finetune"] = finetune(supernet, winner.sub_model, loops, adam, finetuning.teacher)
    on_dev = finish(output, supernet, winner, engines, output / token_ids.DIRECTORY)
    way = way_of_point(winner)
    exported = export_job(output, supernet, ways.tables.get(way.precision), way, precision, loops.device)
    return {
        **rows,
        "winner": row(winner),
        **about,
        **on_dev,
        "export": arguments(exported, defaults=False),
    }


def _loops(steps: int, batch_size: int, seed: int, device: Device) -> LoopSettings:
    """Of the winner's finetuning."""
    return LoopSettings(
        batch_size=batch_size, max_steps=steps, logging_steps=max(1, steps // 10), save_steps=steps + 1, seed=seed,
        device=device,
    )  # fmt: skip


def _run(nsga: Nsga, settings: NsgaSettings, started: float) -> list[Point]:
    def stop() -> bool:
        return settings.minutes is not None and time.monotonic() - started > 60 * settings.minutes

    with Progress(total=settings.trials, desc="search", unit="trial") as bar:

        def done(count: int) -> None:
            bar.update(min(count, settings.trials) - bar.n)

        points = nsga.run(settings.trials, stop, done)
    if not points:
        raise UserError(f"`minutes` {settings.minutes}: not a single sub-model was evaluated in that time; give more")
    return points


def _work_together(processes: int, words: list[str], output: Path) -> None:
    """Run the other processes to their end; whatever they leave undone is done by this one."""
    threads = max(1, environment.cores() // processes)
    command = [sys.executable, "-m", "ofa_bert", "search", *words]
    counts = {name: str(threads) for name in ("MKL_NUM_THREADS", "OMP_NUM_THREADS")}
    children = []
    for number in range(processes):
        with open(output / f"worker-{number}.log", "w") as log:
            children.append(subprocess.Popen(command, env={**os.environ, **counts}, stdout=log, stderr=log))
    logger.info("%d processes search; their messages are in %s/worker-*.log", len(children), output)
    try:
        codes = [child.wait() for child in children]
    except BaseException:
        for child in children:
            child.terminate()
        raise
    if any(codes):
        logger.warning("a process ended with code %d, see worker-*.log; going on alone", max(codes, key=abs))
