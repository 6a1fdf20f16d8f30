"""python -m ofa_bert search: uneven sub-models of a supernet under a budget, evaluated without training."""

from __future__ import annotations

import dataclasses
import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from ofa_bert.data import token_ids
from ofa_bert.errors import UserError
from ofa_bert.files import lock
from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.options import arguments, to_json
from ofa_bert.progress import Progress
from ofa_bert.search.costs.latency import COST as LATENCY
from ofa_bert.search.deployed import Engine
from ofa_bert.search.evaluator import Evaluator, expanded, in_one_piece, precision_of
from ofa_bert.search.finetune import finetune
from ofa_bert.search.front import Budget, Point, pareto_front, ranked
from ofa_bert.search.guesses import GUESSES, GuessLimits, first_guesses
from ofa_bert.search.job import NsgaSettings, SearchJob, WinnerFinetuning
from ofa_bert.search.nsga2 import Nsga
from ofa_bert.search.report import FrontRows, write_front
from ofa_bert.search.setup import Supernet, costs_of, engines_of, fingerprint, load_supernet, ways_of
from ofa_bert.search.winner import WinnerResults, affordable, export_job, finish, latency_of, way_of_point
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.system import environment
from ofa_bert.system.accelerator import Device
from ofa_bert.system.provenance import versions
from ofa_bert.training.run_directory import RESULTS
from ofa_bert.training.settings import LoopSettings, OptimizerSettings

logger = logging.getLogger(__name__)

STUDY = "study.db"
_FINAL = 40  # points of the front that are evaluated on every held-out example, at most
_EXPORTED = 16  # of them in a precision that must be exported for it, which takes ten times as long


class SearchResults(WinnerResults, FrontRows):
    task: str
    cost: str
    trials: int
    search_seconds: float
    examples: int
    held_out: int
    config: Mapping[str, object]
    versions: Mapping[str, str]
    export: list[str]


@lock.writer("output_dir", unless="worker")
def search_sub_models(job: SearchJob) -> SearchResults | None:
    """Search, evaluate the front in full, write it and the winner; what results.json says. A worker returns None."""
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
    nsga = Nsga(space, evaluator, cost, budget, guesses, job.nsga.population, job.seed, output / STUDY, settings)
    if job.nsga.processes > 1 and not job.nsga.worker:
        nsga.run(0)  # makes the file that the workers share
        worker = dataclasses.replace(job, nsga=dataclasses.replace(job.nsga, worker=True))
        _work_together(job.nsga.processes, arguments(worker), output)
    points = _run(nsga, job.nsga, started)
    if job.nsga.worker:
        return None
    seconds = round(time.monotonic() - started, 1)
    engines = engines_of(supernet, ways, job.seed)
    front, grid = in_full(supernet, evaluator, points, engines)
    winner, tried = affordable(supernet, ranked(front, budget), ways, budget.limits.get(LATENCY.name))
    rows = write_front(output, front, grid, winner, cost, supernet)
    about = latency_of(tried)
    if job.finetuning.finetune_steps:
        loops, adam = _of_winner(job.finetuning, job.batch_size, job.seed, job.device)
        about["finetune"] = finetune(supernet, winner.sub_model, loops, adam, job.finetuning.teacher)
    on_dev = finish(output, supernet, winner, engines)
    way = way_of_point(winner)
    exported = export_job(output, supernet, ways.tables.get(way.precision), way, job.precision, job.device)
    results: SearchResults = {
        "task": supernet.task.name,
        "cost": cost,
        "trials": len(points),
        "search_seconds": seconds,
        "examples": len(evaluator.scorer.labels),
        "held_out": len(supernet.held_out),
        "config": to_json(job),
        "versions": versions(),
        **rows,
        **about,
        **on_dev,
        "export": arguments(exported, defaults=False),
    }
    write_json_atomic(output / RESULTS, results)
    return results


def _of_winner(
    settings: WinnerFinetuning, batch_size: int, seed: int, device: Device
) -> tuple[LoopSettings, OptimizerSettings]:
    steps = settings.finetune_steps
    loops = LoopSettings(
        batch_size=batch_size, max_steps=steps, logging_steps=max(1, steps // 10), save_steps=steps + 1, seed=seed,
        device=device,
    )  # fmt: skip
    return loops, OptimizerSettings(learning_rate=settings.learning_rate)


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


def in_full(
    supernet: Supernet, evaluator: Evaluator, points: list[Point], engines: Mapping[str, Engine]
) -> tuple[list[Point], list[Point]]:
    """(front, trained grid), evaluated on every held-out example and in the precision that each would run in."""
    scorer, cost = evaluator.scorer, evaluator.cost
    whole = scorer if len(scorer.labels) == len(supernet.held_out) else supernet.scorer()
    judge = dataclasses.replace(evaluator, scorer=whole)
    tried: dict[SubModelConfig, list[Point]] = {p.sub_model: expanded(p, cost) for p in points}
    trained = {sub_model: name for name, sub_model in supernet.space.sub_models().items()}
    found: list[Point] = []
    grid: list[Point] = []
    for precision in evaluator.ways.precisions:
        engine = engines.get(precision)

        def every(sub_model: SubModelConfig, precision: str = precision, engine: Engine | None = engine) -> list[Point]:
            if engine is None and whole is scorer and sub_model in tried:
                return [p for p in tried[sub_model] if precision_of(p) == precision]
            outputs = whole.outputs(sub_model) if engine is None else engine.outputs(sub_model, supernet.held_out)
            return [each.point(sub_model, cost) for each in judge.every(sub_model, outputs, (precision,))]

        those = [p for several in tried.values() for p in several if precision_of(p) == precision]
        promising = _promising(those, judge.budget, _FINAL if engine is None else _EXPORTED)
        chosen = list(dict.fromkeys([*trained, *promising]))
        for sub_model in Progress(chosen, desc=f"front on all held-out examples, {precision}", unit="sub-model"):
            points_of = every(sub_model)
            if sub_model in trained:
                (entire,) = [p for p in points_of if in_one_piece(p)]
                grid.append(_named(entire, trained[sub_model], precision))
                points_of = [grid[-1], *(p for p in points_of if p is not entire)]
            found += points_of
    return pareto_front(found), grid


def _promising(points: list[Point], budget: Budget, most: int) -> list[SubModelConfig]:
    """The sub-models of the front, each once: half next to the budget, where the winner is, half spread."""
    front = pareto_front(points)
    within = [p for p in front if budget.admits(p.costs, p.score)]
    # The winner is the dearest that keeps a limit, or the cheapest that keeps a score.
    near = within[: most // 2] if budget.min_score is not None else within[-(most // 2) :]
    return list(dict.fromkeys(p.sub_model for p in [*near, *front[:: 1 + 2 * len(front) // most]]))


def _named(point: Point, name: str, precision: str) -> Point:
    shown = name if precision == "fp32" else f"{name} {precision}"
    return dataclasses.replace(point, more={**point.more, "name": shown})
