"""python -m ofa_bert search: uneven sub-models of a supernet under a budget, evaluated without training."""

from __future__ import annotations

import dataclasses
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterable, Optional

from tqdm import tqdm

from ofa_bert import environment
from ofa_bert.atomic import read_json, write_json_atomic
from ofa_bert.commandline import arguments, to_json
from ofa_bert.config_search import SearchConfig
from ofa_bert.errors import UserError
from ofa_bert.meta import versions
from ofa_bert.nsga import Evaluated, Nsga
from ofa_bert.search import Point, UnevenSpace, additive_front, choose, pareto_front
from ofa_bert.search_eval import Scorer
from ofa_bert.search_report import write_front
from ofa_bert.search_setup import (
    Costs,
    Supernet,
    budget_of,
    costs_of,
    fingerprint,
    load_supernet,
    space_of,
)
from ofa_bert.submodel import SubModelConfig, uniform
from ofa_bert.winner import finish

logger = logging.getLogger(__name__)

STUDY = "study.db"
_GUESSES = "guesses.json"
_GUESS_EXAMPLES = 128  # hurts are sums over examples, so fewer of them do
_FINAL = 40  # points of the front that are evaluated on every held-out example, at most


def search_sub_models(config: SearchConfig) -> Optional[dict[str, Any]]:
    """Search, evaluate the front in full, write it and the winner; what results.json says. A worker returns None."""
    started = time.monotonic()
    supernet = load_supernet(config)
    output = Path(config.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    costs, space = costs_of(config, supernet.space.shape), space_of(config, supernet.space)
    scorer = supernet.scorer(config.examples)
    nsga = Nsga(
        space,
        evaluator(scorer, costs, config.loss_weight),
        config.searched_cost(),
        budget_of(config),
        first_guesses(config, supernet, space, costs, output / _GUESSES),
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
    front, grid = in_full(config, supernet, costs, points, scorer)
    winner = choose(front, budget_of(config))
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
    return finish(config, supernet, winner, results)


def evaluator(scorer: Scorer, costs: Costs, loss_weight: float) -> Any:
    """Sub-model -> Evaluated. The value is the score less loss_weight * loss: scores on few examples tie."""

    def evaluate(sub_model: SubModelConfig) -> Evaluated:
        found = scorer.score(sub_model)
        value = found["score"] - loss_weight * found["loss"]
        return Evaluated(value, found["score"], costs(sub_model), {"loss": found["loss"], "scores": found["scores"]})

    return evaluate


def first_guesses(
    config: SearchConfig, supernet: Supernet, space: UnevenSpace, costs: Costs, path: Path
) -> list[SubModelConfig]:
    """Where to start: the trained sub-models, other uniform widths, and for each trained depth the additive front.

    The last is what pays: one layer at a time is made smaller, and the sub-models are taken that would be best if what
    that hurts added up. Written to a file, for a resumed search and for workers.
    """
    settings = fingerprint(config, supernet)
    if path.exists() and read_json(path)["settings"] == settings:
        return [SubModelConfig.from_json(value) for value in read_json(path)["guesses"]]
    trained = list(supernet.space.sub_models().values())
    shape, cost = space.shape, config.searched_cost()
    between = [
        uniform(shape, heads / shape.num_heads, layers)
        for layers in supernet.space.kept_layers
        for heads in space.heads
    ]
    scorer = supernet.scorer(min(_GUESS_EXAMPLES, config.examples))
    shaped: list[SubModelConfig] = []
    for depth, layers in zip(supernet.space.depth_mults, supernet.space.kept_layers):

        def shown(places: Iterable[int], depth: float = depth) -> Iterable[int]:
            return tqdm(places, desc=f"hurts at depth {depth:.4g}", unit="layer")

        base = uniform(shape, 1.0, layers)
        hurts = scorer.hurts(base, space, len(layers) == shape.num_layers, shown)
        shaped += additive_front(space, hurts, lambda sub_model: costs(sub_model)[cost])
    limit = config.limits().get(cost)
    if limit is not None:
        between = [s for s in between if costs(s)[cost] <= limit]
        shaped = [s for s in shaped if 0.5 * limit <= costs(s)[cost] <= limit]
    # At most half of the trials: the search has to have something left to do.
    guesses = list(
        dict.fromkeys([*trained, *_spread(shaped, config.trials // 3), *_spread(between, config.trials // 8)])
    )
    write_json_atomic(path, {"settings": settings, "guesses": [guess.to_json() for guess in guesses]})
    return guesses


def _spread(items: list[SubModelConfig], most: int) -> list[SubModelConfig]:
    """At most `most` of the items, evenly spread."""
    return items[:: -(-len(items) // max(1, most)) or 1]


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
    config: SearchConfig, supernet: Supernet, costs: Costs, points: list[Point], scorer: Scorer
) -> tuple[list[Point], list[Point]]:
    """(front, trained grid), evaluated on every held-out example."""
    trained = supernet.space.sub_models()
    cost, budget = config.searched_cost(), budget_of(config)
    whole = scorer if len(scorer.labels) == len(supernet.held_out) else supernet.scorer()
    evaluate = evaluator(whole, costs, config.loss_weight)
    known = {point.sub_model: point for point in points} if whole is scorer else {}

    def point(sub_model: SubModelConfig) -> Point:
        return known.get(sub_model) or evaluate(sub_model).point(sub_model, cost)

    front = pareto_front(points)
    within = [p for p in front if budget.admits(p.costs, p.score)]
    # Half of them the dearest that keep the budget, among which the winner is, half spread over the whole front.
    taken = [*within[-_FINAL // 2 :], *front[:: 1 + 2 * len(front) // _FINAL]]
    chosen = dict.fromkeys(p.sub_model for p in taken)
    named = [_named(point(sub_model), name) for name, sub_model in trained.items()]
    bar = tqdm(list(chosen), desc="front on all held-out examples", unit="sub-model", disable=whole is scorer)
    return pareto_front([*map(point, bar), *named]), named


def _named(point: Point, name: str) -> Point:
    return dataclasses.replace(point, more={**point.more, "name": name})
