"""Choosing a family: a few candidates for each target are measured, and the best of those that keep it wins. No Paddle.

A table predicts to some percent. So what was measured corrects it, precision by precision and near each target, and the
corrected table is asked again: among all that was evaluated, and a few steps beside it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from ofa_bert.errors import RunError
from ofa_bert.search.front import Point
from ofa_bert.search.speedups.targets import TOLERANCE, Choice, Member, Pair, Target, approach
from ofa_bert.submodels.uneven import UnevenSpace
from ofa_bert.submodels.values import SubModelConfig

logger = logging.getLogger(__name__)

_ROUNDS, _FOR_ALL = 6, 2  # of measuring, at most; later ones are for targets that nothing keeps yet
_FIRST, _NEXT = 3, 2  # choices that a round measures for each target in each precision
_CORRECTED_BY = 3  # measurements, those nearest to the target
_PARENTS, _AROUND = 4, 0.15  # from which steps are taken, and how far from the target's latency they may be


@dataclass
class Chooser:
    """predict: milliseconds by the table. score: the point of a choice on every held-out example. measure: beside the

    full model; None for those that cannot be. `known` are the choices that were evaluated, `scored` those of them that
    were on every held-out example; both grow.
    """

    targets: Sequence[Target]
    full_ms: float
    space: UnevenSpace
    predict: Callable[[Choice], float]
    score: Callable[[Choice], Point]
    measure: Callable[[Sequence[Choice]], Mapping[Choice, Pair]]
    admits: Callable[[Point], bool]
    known: dict[Choice, Point]
    scored: dict[Choice, Point]
    pairs: dict[Choice, Pair] = field(default_factory=dict)

    def family(self) -> list[Member]:
        """The best for every target. RunError, which names the fastest, where nothing is fast enough."""
        for number in range(_ROUNDS):
            asked = dict.fromkeys(choice for target in self.targets for choice in self._next(target, number))
            if not asked:
                break
            for choice in asked:
                if choice not in self.scored:
                    self.scored[choice] = self.known[choice] = self.score(choice)
            self.pairs.update(self.measure([choice for choice in asked if self.admits(self.scored[choice])]))
        return [self._member(target) for target in self.targets]

    def _next(self, target: Target, number: int) -> list[Choice]:
        """What is to be measured for a target in this round."""
        best = max(self._keeping(target), key=self._rank, default=None)
        if best is not None and number >= _FOR_ALL:
            return []
        found: list[Choice] = []
        for precision in dict.fromkeys(choice.precision for choice in self.known):
            candidates = self._candidates(target, precision, steps=number > 0)
            if best is not None:
                bar = self._guess(best)
                candidates = {choice: guess for choice, guess in candidates.items() if guess > bar}
            most = _NEXT if number else _FIRST
            chosen = sorted(candidates, key=lambda choice: -candidates[choice])[:most]
            if best is None and len(chosen) < most:
                chosen += self._nearest(target, precision, chosen)[: most - len(chosen)]
            found += chosen
        return found

    def _candidates(self, target: Target, precision: str, steps: bool) -> dict[Choice, float]:
        """The choices that should keep the target, not measured yet, each with what it may be worth."""
        ratio, every = self._ratio(target, precision), self._open(precision)
        off = {choice: abs(self._off(target, choice, ratio)) for choice in every}
        found = {choice: self._guess(choice) for choice in every if off[choice] <= TOLERANCE}
        for choice in self._parents(target, precision, ratio) if steps else ():

            def off_of(sub_model: SubModelConfig) -> float:
                return self._off(target, Choice(sub_model, precision), ratio)

            near = approach(self.space, choice.sub_model, off_of)
            if near is not None:
                moved = Choice(near, precision)
                if moved not in self.known:
                    found.setdefault(moved, self._guess(choice))
        return found

    def _parents(self, target: Target, precision: str, ratio: float) -> list[Choice]:
        """The best around the target, measured ones too; the nearest where there is none."""
        every = [choice for choice in self._of(precision, self.known) if self.admits(self.known[choice])]
        every.sort(key=lambda choice: abs(self._off(target, choice, ratio)))
        around = [choice for choice in every if abs(self._off(target, choice, ratio)) <= _AROUND]
        return sorted(around, key=self._guess, reverse=True)[:_PARENTS] or every[:1]

    def _nearest(self, target: Target, precision: str, but: Iterable[Choice]) -> list[Choice]:
        ratio, taken = self._ratio(target, precision), set(but)
        others = [choice for choice in self._open(precision) if choice not in taken]
        return sorted(others, key=lambda choice: abs(self._off(target, choice, ratio)))

    def _open(self, precision: str) -> list[Choice]:
        """What was evaluated and may be measured."""
        every = self._of(precision, self.known)
        return [choice for choice in every if choice not in self.pairs and self.admits(self.known[choice])]

    def _of(self, precision: str, choices: Iterable[Choice]) -> list[Choice]:
        return [choice for choice in choices if choice.precision == precision]

    def _predicted(self, choice: Choice) -> float:
        return self.full_ms / self.predict(choice)

    def _off(self, target: Target, choice: Choice, ratio: float) -> float:
        return target.off(ratio * self._predicted(choice))

    def _ratio(self, target: Target, precision: str) -> float:
        """What the table's speed-ups are to be multiplied by, around the target."""

        def distance(choice: Choice) -> float:
            return abs(math.log(self._predicted(choice) / target.speedup))

        nearest = sorted(self._of(precision, self.pairs), key=distance)[:_CORRECTED_BY]
        return median([self.pairs[each].speedup / self._predicted(each) for each in nearest]) if nearest else 1.0

    def _guess(self, choice: Choice) -> float:
        return self.known[choice].value

    def _rank(self, choice: Choice) -> tuple[float, float, float]:
        """The best score; of equal ones the nearest to the supernet's outputs, then the faster one."""
        point = self.scored[choice]
        return (point.score, point.value, self.pairs[choice].speedup)

    def _keeping(self, target: Target) -> list[Choice]:
        return [choice for choice, pair in self.pairs.items() if target.meets(pair.speedup)]

    def _member(self, target: Target) -> Member:
        keeping = self._keeping(target)
        if not keeping:
            speed = {choice: pair.speedup for choice, pair in self.pairs.items()}
            faster = [choice for choice in speed if target.off(speed[choice]) < 0]
            if not faster:
                raise RunError(_unreached(target, self.pairs.values()))
            keeping = [min(faster, key=lambda choice: speed[choice])]
            logger.warning("%s: nothing is within %.0f %% of it", target.name, 100 * TOLERANCE)
        best = max(keeping, key=self._rank)
        return Member(target, self.scored[best], self.pairs[best])


def _unreached(target: Target, pairs: Iterable[Pair]) -> str:
    fastest = max(pairs, key=lambda pair: pair.speedup, default=None)
    if fastest is None:
        return f"`speedups` {target.speedup:g}: no sub-model keeps within the other limits; give more room"
    return (
        f"`speedups` {target.speedup:g}: the fastest that was measured is {fastest.speedup:.3g} times as fast as the"
        f" full model ({fastest.ms:.3g} ms beside {fastest.full_ms:.3g}); ask for at most that: the same command goes"
        " on from here with other targets"
    )
