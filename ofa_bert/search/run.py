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
from typing import Any

from tqdm import tqdm

from ofa_bert.errors import UserError
from ofa_bert.files import lock
from ofa_bert.options import arguments, to_json
from ofa_bert.search.config import SearchConfig
from ofa_bert.search.deployed import Engine
from ofa_bert.search.evaluator import Evaluator, expanded, in_one_piece, precision_of
from ofa_bert.search.front import Budget, Point, pareto_front, ranked
from ofa_bert.search.guesses import GUESSES, first_guesses
from ofa_bert.search.nsga2 import Nsga
from ofa_bert.search.report import write_front
from ofa_bert.search.setup import (
    Supernet,
    budget_of,
    costs_of,
    engines_of,
    fingerprint,
    load_supernet,
    space_of,
    ways_of,
)
from ofa_bert.search.winner import affordable, finish, latency_of
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.system import environment
from ofa_bert.system.provenance import versions

logger = logging.getLogger(__name__)

STUDY = "study.db"
_FINAL = 40  # points of the front that are evaluated on every held-out example, at most
_EXPORTED = 16  # of them in a precision that must be exported for it, which takes ten times as long


@lock.writer("output_dir", unless="worker")
def search_sub_models(config: SearchConfig) -> dict[str, Any] | None:
    """Search, evaluate the front in full, write it and the winner; what results.json says. A worker returns None."""
    started = time.monotonic()
    supernet = load_supernet(config)
    output = Path(config.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    ways, space = ways_of(config, supernet), space_of(config, supernet.space)
    costs, budget = costs_of(ways, supernet.space.shape, config.asked_precision()), budget_of(config)
    scorer = supernet.scorer(config.examples)
    evaluator = Evaluator(scorer, costs, ways, config.loss_weight, budget, config.searched_cost())
    nsga = Nsga(
        space,
        evaluator,
        config.searched_cost(),
        budget,
        first_guesses(config, supernet, space, costs, output / GUESSES),
        config.population,
        config.seed,
        output / STUDY,
        fingerprint(config, supernet),
    )
    if config.processes > 1 and not config.worker:
        nsga.run(0)  # makes the file that the workers share
        _work_together(config)
    points = _run(nsga, config, started)
    if config.worker:
        return None
    seconds = round(time.monotonic() - started, 1)
    engines = engines_of(config, supernet, ways)
    front, grid = in_full(supernet, evaluator, points, engines)
    winner, tried = affordable(config, supernet, ranked(front, budget), ways)
    results = {
        "task": supernet.task.name,
        "cost": config.searched_cost(),
        "trials": len(points),
        "search_seconds": seconds,
        "examples": len(scorer.labels),
        "held_out": len(supernet.held_out),
        "config": to_json(config),
        "versions": versions(),
    }
    results.update(write_front(output, front, grid, winner, config.searched_cost(), supernet))
    results.update(latency_of(tried))
    return finish(config, supernet, winner, results, ways, engines)


def _run(nsga: Nsga, config: SearchConfig, started: float) -> list[Point]:
    def stop() -> bool:
        return config.minutes is not None and time.monotonic() - started > 60 * config.minutes

    with tqdm(total=config.trials, desc="search", unit="trial") as bar:

        def done(count: int) -> None:
            bar.update(min(count, config.trials) - bar.n)

        points = nsga.run(config.trials, stop, done)
    if not points:
        raise UserError(f"--minutes {config.minutes}: not a single sub-model was evaluated in that time; give more")
    return points


def _work_together(config: SearchConfig) -> None:
    """Run the other processes to their end; whatever they leave undone is done by this one."""
    threads = max(1, environment.cores() // config.processes)
    command = [sys.executable, "-m", "ofa_bert", "search", *arguments(dataclasses.replace(config, worker=True))]
    counts = {name: str(threads) for name in ("MKL_NUM_THREADS", "OMP_NUM_THREADS")}
    children = []
    for number in range(config.processes):
        with open(Path(config.output_dir, f"worker-{number}.log"), "w") as log:
            children.append(subprocess.Popen(command, env={**os.environ, **counts}, stdout=log, stderr=log))
    logger.info("%d processes search; their messages are in %s/worker-*.log", len(children), config.output_dir)
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

        def every(sub_model: SubModelConfig, precision: str = precision, engine: Engine | None = engine) -> Any:
            if engine is None and whole is scorer and sub_model in tried:
                return [p for p in tried[sub_model] if precision_of(p) == precision]
            outputs = whole.outputs(sub_model) if engine is None else engine.outputs(sub_model, supernet.held_out)
            return [each.point(sub_model, cost) for each in judge.every(sub_model, outputs, (precision,))]

        those = [p for several in tried.values() for p in several if precision_of(p) == precision]
        promising = _promising(those, judge.budget, _FINAL if engine is None else _EXPORTED)
        chosen = list(dict.fromkeys([*trained, *promising]))
        for sub_model in tqdm(chosen, desc=f"front on all held-out examples, {precision}", unit="sub-model"):
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
