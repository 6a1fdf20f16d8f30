"""python -m ofa_bert search `algorithm` fptas: Bort's walk over a supernet's sub-models, or over shapes from scratch.

Of a supernet, e needs no training: it is the cross-entropy of a sub-model's outputs to the largest one's. From scratch
a candidate is trained for at most n steps on the outputs of the maximum point T, which is the whole supernet.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypedDict, TypeVar

from ofa_bert.data.encoding import token_ids
from ofa_bert.errors import RunError, UserError
from ofa_bert.files import lock
from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.files.journal import Journal
from ofa_bert.options import to_json
from ofa_bert.progress import Progress
from ofa_bert.reporting import millions
from ofa_bert.search.costs.registry import Costs, default
from ofa_bert.search.fptas.limits import within_limits
from ofa_bert.search.fptas.scratch import drawn_of, scratch_problem
from ofa_bert.search.fptas.walk import Problem, Record, Result, StepCounter, fptas, regret, walk
from ofa_bert.search.job import FptasSettings, SearchJob
from ofa_bert.search.report import WINNER
from ofa_bert.search.scorer import Scorer
from ofa_bert.search.setup import Supernet, costs_of, fingerprint, load_supernet, ways_of
from ofa_bert.submodels.counting import count_parameters
from ofa_bert.submodels.uneven import UnevenSpace
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.system.provenance import versions
from ofa_bert.training.output_directory import RESULTS
from ofa_bert.training.supernet.layer_choice import layers_by_importance


class Candidate(Protocol):
    def to_json(self) -> Mapping[str, object]: ...


C = TypeVar("C", bound=Candidate)
SHAPE = "shape.json"  # the winner from scratch: what pretrain `shape` takes
LOG = "fptas-{}.jsonl"
_REGRETS = (2, 3, 5, 10, 20, 50)


class ScoredRecord(Record):
    score: float


class FptasResults(TypedDict):
    """What results.json says. regret: of larger intervals, when every candidate was evaluated."""

    task: str
    candidates: int
    evaluated: int
    epsilon: int
    winner: Record
    winner_of_each_seed: list[str]
    rank_correlation_of_seeds: list[float]
    regret: Mapping[str, float]
    records: list[Record]
    config: Mapping[str, object]
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Walked:
    """The walk of one seed."""

    winner: Mapping[str, object]
    best: Record
    records: tuple[Record, ...]
    candidates: int
    regret: Mapping[str, float]


@lock.writer("output_dir")
def search_fptas(job: SearchJob) -> FptasResults:
    """Walk, write every evaluation to a log that resumes, the winner, and results.json; returns what that says."""
    output, settings, scratch = Path(job.output_dir), job.fptas, job.fptas.scratch
    supernet = load_supernet(job.source, output / token_ids.DIRECTORY)
    limits = job.wanted.limits()
    facts = fingerprint(job.source, supernet, job.modes.latency_table, job.deciding())
    # What an evaluation depends on: not the budget, which only says which candidates there are.
    facts = {name: value for name, value in facts.items() if name not in (*limits, "min_score", "cost")}
    own = {"from_scratch": scratch.from_scratch, "max_steps": scratch.max_steps, "batch_size": job.batch_size}
    facts.update(own, measure_time=scratch.measure_time)
    scorer = None if scratch.from_scratch else supernet.scorer(job.examples)
    costs = costs_of(ways_of(job.modes, supernet), supernet.space.shape)
    results: list[Walked] = []
    for seed in range(job.seed, job.seed + settings.seeds):
        journal = partial(Journal, output / LOG.format(seed), {**facts, "seed": seed})
        if scorer is None:
            drawn = drawn_of(supernet, seed, job.batch_size, scratch.max_steps, job.examples)
            from_scratch = scratch_problem(settings, supernet, drawn, limits, job.device)
            results.append(_walked(from_scratch, _found(from_scratch, settings, journal()), settings))
        else:
            space = job.space.of(supernet.space)
            problem = _sub_models(settings, space, supernet, scorer, costs, limits, bool(job.modes.latency_table))
            found = _found(problem, settings, journal())
            if job.wanted.min_score is not None:
                found = _good_enough(job.wanted.min_score, scorer, problem, found)
            results.append(_walked(problem, found, settings))
    first = results[0]
    write_json_atomic(output / (SHAPE if scratch.from_scratch else WINNER), first.winner)
    report: FptasResults = {
        "task": supernet.task.name,
        "candidates": first.candidates,
        "evaluated": len(first.records),
        "epsilon": settings.epsilon,
        "winner": first.best,
        "winner_of_each_seed": [found.best["name"] for found in results],
        "rank_correlation_of_seeds": [_rank_correlation(first.records, found.records) for found in results[1:]],
        "regret": first.regret,
        "records": sorted(first.records, key=lambda row: -row["W"]),
        "config": to_json(job),
        "versions": versions(),
    }
    write_json_atomic(output / RESULTS, report)
    return report


def _found(problem: Problem[C], settings: FptasSettings, journal: Journal) -> Result[C]:
    return fptas(problem, settings.epsilon, journal, lambda c: Progress(c, desc="fptas", unit="candidate"))


def _walked(problem: Problem[C], found: Result[C], settings: FptasSettings) -> Walked:
    regret = _regrets(problem, found) if settings.epsilon == 1 else {}
    return Walked(found.winner.to_json(), found.best, found.records, len(problem.candidates), regret)


def _good_enough(
    least: float, scorer: Scorer, problem: Problem[SubModelConfig], found: Result[SubModelConfig]
) -> Result[SubModelConfig]:
    """The candidate with the highest W that scores `least`. RunError, which says the best score, when none does."""
    by_name = {problem.name(candidate): candidate for candidate in problem.candidates}
    scores = []
    for row in sorted(found.records, key=lambda row: -row["W"]):
        winner = by_name[row["name"]]
        scores.append(scorer.score(winner)["score"])
        if scores[-1] >= least:
            best: ScoredRecord = {**row, "score": scores[-1]}
            return dataclasses.replace(found, winner=winner, best=best)
    raise RunError(
        f"`min_score` {least:g}: the best of {len(scores)} candidates has {max(scores):.4f}; ask for less,"
        " or give wider ranges"
    )


def _regrets(problem: Problem[C], found: Result[C]) -> dict[str, float]:
    """What larger intervals would have missed, of a search that evaluated all candidates."""
    by_name: dict[str, float] = {}
    for row in found.records:
        by_name[row["name"]] = max(row["W"], by_name.get(row["name"], row["W"]))
    wider = [epsilon for epsilon in _REGRETS if epsilon <= len(problem.candidates)]
    best = {epsilon: max(by_name[problem.name(c)] for c in walk(problem, epsilon)) for epsilon in wider}
    return {str(epsilon): regret(found.best["W"], value) for epsilon, value in best.items()}


def _rank_correlation(first: Sequence[Record], second: Sequence[Record]) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr([r["W"] for r in first], [r["W"] for r in second])[0])


def _sub_models(
    settings: FptasSettings,
    space: UnevenSpace,
    supernet: Supernet,
    scorer: Scorer,
    costs: Costs,
    limits: Mapping[str, float],
    by_table: bool,
) -> Problem[SubModelConfig]:
    """by_table: whether i is a latency that a table predicts."""
    shape = supernet.space.shape
    depths = sorted(set(settings.depths or range(space.min_depth, shape.num_layers + 1)))
    kept = _kept_layers(supernet, depths, len(scorer.encoded))
    candidates = []
    for layers, heads, ffn in itertools.product(kept, settings.heads or space.heads, settings.ffn or space.ffn):
        candidates.append(SubModelConfig(layers, (heads,) * len(layers), (ffn,) * len(layers)))
        candidates[-1].check_fits(shape)
    cost = default(by_table)

    def error(sub_model: SubModelConfig, theta: Mapping[str, float], counter: StepCounter) -> float:
        return scorer.cross_entropy(scorer.logits(sub_model))

    def name(sub_model: SubModelConfig) -> str:
        return f"D{sub_model.depth}_A{sub_model.heads[0]}_I{sub_model.ffn[0]}"

    every = {name: (lambda sub_model, name=name: costs(sub_model)[name]) for name in limits}
    return Problem(
        within_limits(list(dict.fromkeys(candidates)), limits, every),
        supernet.space.largest,
        lambda sub_model: count_parameters(shape, sub_model),
        lambda sub_model: costs(sub_model)[cost],
        error,
        name=name,
    )


def _kept_layers(supernet: Supernet, depths: Sequence[int], examples: int) -> list[tuple[int, ...]]:
    """The layers of each depth: the trained ones where there are, else those whose loss hurts the outputs most."""
    trained = {len(layers): layers for layers in supernet.space.kept_layers}
    count = supernet.space.shape.num_layers
    if max(depths) > count:
        raise UserError(f"`depths` {max(depths)}: the supernet has {count} layers")
    missing = tuple(depth / count for depth in depths if depth not in trained)
    if not missing:
        return [trained[depth] for depth in depths]
    few = supernet.held_out.take(range(min(128, examples, supernet.held_out.examples)))
    found = layers_by_importance(supernet.model, few, supernet.pad_id, missing, supernet.task.kind)
    return [{**{len(layers): layers for layers in found}, **trained}[depth] for depth in depths]


# What the columns of `printable` mean, for `reporting.legend`.
COLUMNS = {
    "p": "parameters",
    "i": "cost of an inference: operations, or milliseconds where time is measured",
    "e": "error: cross-entropy to the largest model's answers",
    "W": "Bort's coefficient of the three, higher is better",
    "steps": "that it was trained for",
}


def printable(results: FptasResults, most: int = 10) -> list[dict[str, str]]:
    """The candidates with the highest W, for `reporting.table`."""
    return [
        {
            "candidate": row["name"],
            **{name: str(value) for name, value in row["theta"].items()},
            "p": millions(int(row["p"])),
            "i": f"{row['i']:.4g}",
            "e": f"{row['e']:.4f}",
            "W": f"{row['W']:.4f}",
            "steps": str(row["steps"]),
        }
        for row in results["records"][:most]
    ]
