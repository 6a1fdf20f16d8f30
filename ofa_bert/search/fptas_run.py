"""python -m ofa_bert search `algorithm` fptas: Bort's walk over a supernet's sub-models, or over shapes from scratch.

Of a supernet, e needs no training: it is the cross-entropy of a sub-model's outputs to the largest one's. From scratch
a candidate is trained for at most n steps on the outputs of the maximum point T, which is the whole supernet.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypedDict, TypeVar

import numpy as np
import paddle
from paddle import nn
from tqdm import tqdm

from ofa_bert.data import token_ids
from ofa_bert.data.batches import Batch, TrainBatches
from ofa_bert.errors import RunError, UserError
from ofa_bert.files import lock
from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.files.journal import Journal
from ofa_bert.latency.device import VOCABULARY, Measurer
from ofa_bert.models.families.paddlenlp import PaddleConfig, changed
from ofa_bert.models.families.registry import model_class
from ofa_bert.models.operators import backward
from ofa_bert.options import to_json
from ofa_bert.reporting import millions
from ofa_bert.runtime.backends.registry import first_for
from ofa_bert.search import fptas
from ofa_bert.search.costs.flops import COST as FLOPS
from ofa_bert.search.costs.latency import COST as LATENCY
from ofa_bert.search.costs.parameters import COST as PARAMETERS
from ofa_bert.search.costs.registry import Costs, default
from ofa_bert.search.costs.registry import cost as cost_named
from ofa_bert.search.fptas import Problem, Record, StepCounter
from ofa_bert.search.job import FptasSettings, ScratchSettings, SearchJob
from ofa_bert.search.report import WINNER
from ofa_bert.search.scorer import Scorer
from ofa_bert.search.setup import Supernet, costs_of, fingerprint, load_supernet, ways_of
from ofa_bert.submodels.counting import count_parameters
from ofa_bert.submodels.shape import DEPTHS, FFN, HEADS, HIDDEN, Shape, Surroundings, operations, parameters, shapes
from ofa_bert.submodels.uneven import UnevenSpace
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.system.provenance import versions
from ofa_bert.training import loop
from ofa_bert.training.evaluation import predict, stock_forward, to_tensors
from ofa_bert.training.losses.task import losses_of
from ofa_bert.training.run_directory import RESULTS
from ofa_bert.training.settings import Device, LoopSettings, OptimizerSettings
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
            drawn = _drawn(supernet, seed, job.batch_size, scratch.max_steps, job.examples)
            from_scratch = _from_scratch(settings, supernet, drawn, limits, job.device)
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


def _found(problem: Problem[C], settings: FptasSettings, journal: Journal) -> fptas.Result[C]:
    return fptas.fptas(problem, settings.epsilon, journal, lambda c: tqdm(c, desc="fptas", unit="candidate"))


def _walked(problem: Problem[C], found: fptas.Result[C], settings: FptasSettings) -> Walked:
    regret = _regrets(problem, found) if settings.epsilon == 1 else {}
    return Walked(found.winner.to_json(), found.best, found.records, len(problem.candidates), regret)


def within_limits(
    candidates: list[C], limits: Mapping[str, float], costs: Mapping[str, Callable[[C], float]]
) -> list[C]:
    """The candidates that keep every limit. RunError, which says what the smallest has, when none does."""
    within = [c for c in candidates if all(costs[name](c) <= most for name, most in limits.items())]
    if not within:
        lows = {name: min(map(costs[name], candidates)) for name in limits}
        parts = [
            f"`{cost_named(name).limit}` {most:g}: the smallest has {lows[name]:g}" for name, most in limits.items()
        ]
        raise RunError(f"none of {len(candidates)} candidates keeps within {'; '.join(parts)}. Give more room")
    return within


def _good_enough(
    least: float, scorer: Scorer, problem: Problem[SubModelConfig], found: fptas.Result[SubModelConfig]
) -> fptas.Result[SubModelConfig]:
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


def _regrets(problem: Problem[C], found: fptas.Result[C]) -> dict[str, float]:
    """What larger intervals would have missed, of a search that evaluated all candidates."""
    by_name: dict[str, float] = {}
    for row in found.records:
        by_name[row["name"]] = max(row["W"], by_name.get(row["name"], row["W"]))
    wider = [epsilon for epsilon in _REGRETS if epsilon <= len(problem.candidates)]
    best = {epsilon: max(by_name[problem.name(c)] for c in fptas.walk(problem, epsilon)) for epsilon in wider}
    return {str(epsilon): fptas.regret(found.best["W"], value) for epsilon, value in best.items()}


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
    kept = _kept_layers(supernet, depths, len(scorer.labels))
    candidates = []
    for layers, heads, ffn in itertools.product(kept, settings.heads or space.heads, settings.ffn or space.ffn):
        candidates.append(SubModelConfig(layers, (heads,) * len(layers), (ffn,) * len(layers)))
        candidates[-1].check_fits(shape)
    cost = default(by_table)

    def error(sub_model: SubModelConfig, theta: Mapping[str, float], counter: StepCounter) -> float:
        return supernet.task.kind.cross_entropy(scorer.wanted, scorer.logits(sub_model))

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
    few = supernet.held_out.select(range(min(128, examples)))
    found = layers_by_importance(supernet.model, few, supernet.pad_id, missing, supernet.task.kind)
    return [{**{len(layers): layers for layers in found}, **trained}[depth] for depth in depths]


def _from_scratch(
    settings: FptasSettings, supernet: Supernet, drawn: Drawn, limits: Mapping[str, float], device: Device
) -> Problem[Shape]:
    full, scratch = supernet.space.shape, settings.scratch
    candidates = shapes(
        settings.depths or DEPTHS, settings.heads or HEADS, scratch.hidden or HIDDEN, settings.ffn or FFN
    )
    top = Shape(full.num_layers, full.num_heads, full.hidden_size, full.ffn_size)
    around = Surroundings(
        full.vocab_size, full.max_positions, full.type_vocab_size, full.num_labels, embedding_size=full.embedding_size
    )
    times = _measured(supernet, [*candidates, top], device) if scratch.measure_time else {}
    costs: dict[str, Callable[[Shape], float]] = {
        PARAMETERS.name: lambda shape: parameters(shape, around),
        FLOPS.name: lambda shape: operations(shape, around),
        LATENCY.name: lambda shape: times[shape],
    }
    candidates = within_limits(candidates, limits, costs)
    return Problem(
        candidates,
        top,
        lambda shape: parameters(shape, around),
        (lambda shape: times[shape]) if times else (lambda shape: operations(shape, around)),
        Trainer(supernet, drawn, scratch).error,
        scratch.max_steps,
        [{"learning_rate": rate} for rate in scratch.learning_rates],
    )


def fresh(supernet: Supernet, shape: Shape, vocab_size: int | None = None) -> nn.Layer:
    """A classifier of that shape with random weights, otherwise configured as the supernet."""
    config: PaddleConfig = supernet.model.config
    return model_class(supernet.record.model_type)(
        changed(
            config,
            num_hidden_layers=shape.depth,
            num_attention_heads=shape.heads,
            hidden_size=shape.hidden,
            intermediate_size=shape.ffn,
            vocab_size=config.vocab_size if vocab_size is None else vocab_size,
        )
    )


@dataclass(frozen=True)
class Drawn:
    """The n batches that every candidate trains on, with the outputs of T, which are computed once for all of them."""

    seed: int
    batches: Sequence[Batch]
    wanted: Sequence[np.ndarray]
    held_out_wanted: np.ndarray  # of the first held-out examples


def _drawn(supernet: Supernet, seed: int, batch_size: int, steps: int, examples: int) -> Drawn:
    pad = supernet.pad_id
    source = TrainBatches(supernet.train, batch_size, seed, pad)
    stream = itertools.chain.from_iterable(source.epoch(number) for number in itertools.count())
    batches = list(itertools.islice(stream, steps))
    run = stock_forward(supernet.model)
    supernet.model.eval()
    with paddle.no_grad():
        wanted = [run(to_tensors(batch)).numpy() for batch in tqdm(batches, desc="outputs of T", unit="batch")]
    held_out = supernet.held_out.select(range(min(examples, len(supernet.held_out))))
    return Drawn(seed, batches, wanted, predict(run, held_out, supernet.task.num_labels, pad))


@dataclass(frozen=True)
class Trainer:
    """Trains candidates."""

    supernet: Supernet
    drawn: Drawn
    settings: ScratchSettings

    def error(self, shape: Shape, theta: Mapping[str, float], counter: StepCounter) -> float:
        """e of a shape after training, on held-out examples."""
        losses = losses_of(self.supernet.task)
        paddle.seed(self.drawn.seed)
        model = fresh(self.supernet, shape)
        loops = LoopSettings(max_steps=self.settings.max_steps, warmup_proportion=0.0, seed=self.drawn.seed)
        adam = OptimizerSettings(learning_rate=theta["learning_rate"])
        optimizer = loop.make_optimizer(adam, model, loop.make_plan(loops, loops.max_steps))
        model.train()
        for batch, wanted in zip(map(to_tensors, self.drawn.batches), self.drawn.wanted):
            counter.step()
            backward(losses.logit(stock_forward(model)(batch), paddle.to_tensor(wanted)))
            optimizer.step()
            optimizer.clear_grad(set_to_zero=False)
            optimizer._learning_rate.step()
        model.eval()
        held_out = self.supernet.held_out.select(range(len(self.drawn.held_out_wanted)))
        logits = predict(stock_forward(model), held_out, self.supernet.task.num_labels, self.supernet.pad_id)
        return self.supernet.task.kind.cross_entropy(self.drawn.held_out_wanted, logits)


def _measured(supernet: Supernet, every: Sequence[Shape], device: Device) -> dict[Shape, float]:
    """i by measurement: milliseconds of one sentence, each different layer measured once, at two depths."""
    measurer = Measurer("cpu" if device == "cpu" else "gpu", first_for("paddle"), "fp32", None, 1, 128, 30)

    def build(shape: Shape) -> Callable[[], nn.Layer]:
        return lambda: fresh(supernet, shape, vocab_size=VOCABULARY)

    low, high = min(s.depth for s in every), max(s.depth for s in every)
    kinds = dict.fromkeys((s.heads, s.hidden, s.ffn) for s in every)
    ends = {str(s): s for kind in kinds for s in (Shape(low, *kind), Shape(high, *kind))}
    around = Surroundings(VOCABULARY)
    sizes = {name: 4 * parameters(shape, around) for name, shape in ends.items()}
    found = measurer.measure(
        {name: build(shape) for name, shape in ends.items()}, sizes, min(sizes, key=lambda name: sizes[name])
    )

    def time(shape: Shape) -> float:
        first, last = (found[str(Shape(depth, shape.heads, shape.hidden, shape.ffn))] for depth in (low, high))
        return first if low == high else first + (last - first) * (shape.depth - low) / (high - low)

    slowest = max(time(shape) for shape in every)
    # T is the slowest: where noise says otherwise, it is.
    return {shape: slowest if shape == every[-1] else time(shape) for shape in every}


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
