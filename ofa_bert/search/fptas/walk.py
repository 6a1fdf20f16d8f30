"""Bort's search for an optimal sub-architecture (arXiv 2010.08512, 2010.10499), over callables. No Paddle.

Candidates are compared with a maximum point T, the architecture that is largest and slowest, by the W-coefficient

    W(f) = (p(T) - p(f)) / p(T)  *  (i(T) - i(f)) / i(T)  *  1 / e(f)

with p the number of parameters, i the inference time and e the cross-entropy to T's outputs after at most n training
steps. The candidates are walked at an interval epsilon; with epsilon 1 every one is evaluated, so the answer is that
of brute force. The paper's guarantee needs a strongly convex loss, which no BERT has: for larger epsilon this is a
heuristic whose loss `regret` measures.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypedDict, TypeVar

from ofa_bert.errors import RunError, UserError
from ofa_bert.files.fields import Fields
from ofa_bert.files.journal import Journal
from ofa_bert.files.reading import Json
from ofa_bert.models.record import numbers

C = TypeVar("C")
SMALLEST_ERROR = 1e-7  # an error of 0 would make W infinite


def w_coefficient(p: float, i: float, e: float, top_p: float, top_i: float) -> float:
    """W of a candidate with p parameters, time i and error e against the maximum point's top_p and top_i."""
    saved = (top_p - p) / top_p * ((top_i - i) / top_i)
    # T itself, whose error may be 0 as well, is worth exactly 0.
    return saved / max(e, SMALLEST_ERROR) if saved else 0.0


class StepCounter:
    """Counts the optimizer steps of one evaluation and ends it with an error after the n-th."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0

    def step(self) -> None:
        if self.used >= self.most:
            raise RunError(f"an evaluation tried to train for more than the {self.most} steps that are allowed")
        self.used += 1


# (candidate, hyper-parameters, counter) -> e. It calls counter.step() before every optimizer step it takes.
Error = Callable[[C, Mapping[str, float], StepCounter], float]


@dataclass(frozen=True)
class Problem(Generic[C]):
    """What is searched: `candidates`, the maximum point `top`, and how p, i and e of a candidate are found.

    `theta` is the set of hyper-parameters that each candidate is trained with; the best of them counts.
    """

    candidates: Sequence[C]
    top: C
    parameters: Callable[[C], float]
    time: Callable[[C], float]
    error: Error[C]
    max_steps: int = 0
    theta: Sequence[Mapping[str, float]] = ({},)
    name: Callable[[C], str] = str

    def checked(self) -> dict[str, tuple[float, float]]:
        """p and i of every candidate by name. UserError when one is larger or slower than T."""
        if not self.candidates or not self.theta:
            raise UserError("a search needs at least one candidate and one set of hyper-parameters")
        top_p, top_i = self.parameters(self.top), self.time(self.top)
        costs = {self.name(c): (self.parameters(c), self.time(c)) for c in self.candidates}
        if len(costs) != len(self.candidates):
            raise UserError("two candidates have the same name")
        above = [name for name, (p, i) in costs.items() if p > top_p or i > top_i]
        if above:
            raise UserError(
                f"{len(above)} of {len(costs)} candidates are larger or slower than the maximum point"
                f" {self.name(self.top)}, for example {above[-1]}; choose a larger maximum point or smaller ranges"
            )
        return costs


def walk(problem: Problem[C], epsilon: int) -> list[C]:
    """Every epsilon-th candidate, from the smallest on: at most ceil(candidates / epsilon)."""
    count = len(problem.candidates)
    if not 1 <= epsilon <= count:
        raise UserError(f"epsilon {epsilon}: must be from 1, which evaluates every candidate, to their number, {count}")
    costs = problem.checked()
    ordered = sorted(problem.candidates, key=lambda c: (*costs[problem.name(c)], problem.name(c)))
    return ordered[::epsilon]


class Record(TypedDict):
    """One evaluation. theta: the hyper-parameters; steps and seconds: what it took."""

    key: str
    name: str
    candidate: Json
    theta: Mapping[str, float]
    p: float
    i: float
    e: float
    W: float
    steps: int
    seconds: float


def _record(line: Mapping[str, Json], where: str, name: str) -> Record:
    """A journal's line about that candidate. UserError, which begins with `where`, for one that nobody wrote so."""
    fields = Fields(line, where, "move it away or name another directory")
    for number in ("p", "i", "e"):
        fields.number(number, 0)
    fields.number("W")
    if fields.text("name") != name:
        fields.wrong("name", f"{name}, as the line's key says")
    found = numbers({number: line[number] for number in ("p", "i", "e", "W")})
    return {
        "key": fields.text("key"),
        "name": name,
        "candidate": line.get("candidate"),
        "theta": numbers(fields.mapping("theta")),
        "p": found["p"],
        "i": found["i"],
        "e": found["e"],
        "W": found["W"],
        "steps": fields.whole("steps", least=0),
        "seconds": fields.number("seconds", 0),
    }


def evaluate(problem: Problem[C], candidate: C, theta: Mapping[str, float], journal: Journal) -> Record:
    """The row of one candidate under one set of hyper-parameters, from the journal when it is there already."""
    name = problem.name(candidate)
    key = f"{name} {json.dumps(theta, sort_keys=True)}"
    if key in journal.records:
        return _record(journal.records[key], str(journal.path), name)
    counter, started = StepCounter(problem.max_steps), time.monotonic()
    e = float(problem.error(candidate, theta, counter))
    if not 0 <= e < float("inf"):
        raise RunError(f"candidate {name}: its error is {e}; with {dict(theta)} the training diverged")
    p, i = problem.parameters(candidate), problem.time(candidate)
    to_json: Callable[[], Json] = getattr(candidate, "to_json", lambda: str(candidate))
    row: dict[str, Json] = {
        "name": name,
        "candidate": to_json(),
        "theta": {**theta},
        "p": p,
        "i": i,
        "e": e,
        "W": w_coefficient(p, i, e, problem.parameters(problem.top), problem.time(problem.top)),
        "steps": counter.used,
        "seconds": round(time.monotonic() - started, 3),
    }
    return _record(journal.add(key, row), f"candidate {name}", name)


@dataclass(frozen=True)
class Result(Generic[C]):
    """The winner, its row, and the records of all that was evaluated, in the order of the walk."""

    winner: C
    best: Record
    records: tuple[Record, ...]


def fptas(
    problem: Problem[C],
    epsilon: int,
    journal: Journal | None = None,
    progress: Callable[[Iterable[C]], Iterable[C]] = lambda taken: taken,
) -> Result[C]:
    """Evaluate every epsilon-th candidate with every set of hyper-parameters; the highest W wins, of equals the first.

    The result is a shape: whatever was trained on the way is thrown away.
    """
    journal = journal or Journal()
    taken = walk(problem, epsilon)
    records = [evaluate(problem, candidate, theta, journal) for candidate in progress(taken) for theta in problem.theta]
    best = max(records, key=lambda row: row["W"])  # the first of equals
    winner = next(c for c in taken if problem.name(c) == best["name"])
    return Result(winner, best, tuple(records))


def regret(best: float, found: float) -> float:
    """(W* - W) / W*: the share of the highest W that a search missed; 0 when no candidate is worth anything."""
    return (best - found) / best if best else 0.0
