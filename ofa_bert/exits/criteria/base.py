"""What an exit criterion declares and does, and the kind that compares an uncertainty with the threshold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ofa_bert.errors import UserError
from ofa_bert.numerics import Bools, Floats, Ints

NO_PREDICTION = np.nan
# What a criterion may be the default of, beside the name of a training of exits.
NUMBERS, CLASSES = "numbers", "classes"
_CANDIDATES = 400


class State(NamedTuple):
    """What a policy remembers of each active sample: the last exit's answer [B, D], for how many exits it held [B]."""

    prediction: Floats
    streak: Ints

    def select(self, rows: Ints) -> State:
        return State(self.prediction[rows], self.streak[rows])

    @classmethod
    def join(cls, parts: Sequence[State]) -> State:
        return cls(*(np.concatenate(items) for items in zip(*parts)))


def fresh(count: int) -> State:
    """The state of `count` samples that have met no exit yet."""
    return State(np.full((count, 1), NO_PREDICTION), np.zeros(count, dtype=np.int64))


@dataclass(frozen=True)
class Criterion(ABC):
    """When a sample leaves at an exit.

    Logits are [..., D, K] throughout: of the D decisions between K choices that a sample's answer consists of, see
    tasks/kinds; K is 1 where a number is predicted. A sample is as uncertain as the most uncertain of its decisions.
    about: what its threshold means, for help texts. for_numbers: whether it works where a number is predicted.
    needs_certainty: whether exits must say how certain they are. counts: whether it counts the exits that a sample
    passed; then every exit is asked and its few thresholds are whole numbers. default_for: NUMBERS, CLASSES, or names
    of trainings of exits, which go before CLASSES.
    """

    name: str
    about: str
    for_numbers: bool = False
    needs_certainty: bool = False
    counts: bool = False
    default_for: tuple[str, ...] = ()

    @abstractmethod
    def leave(
        self, threshold: float, tolerance: float, logits: Floats, certainty: Floats | None, state: State
    ) -> tuple[Bools, State]:
        """Who leaves [B] at an exit that answers logits [B, D, K] with certainty [B] or None; and the new state."""

    @abstractmethod
    def nobody(self, exits: int) -> float:
        """A threshold at which no sample leaves at any of that many exits before the last one."""

    @abstractmethod
    def never(self, threshold: float, exits: int) -> bool:
        """Whether no sample can leave at any of that many exits before the last one."""

    @abstractmethod
    def check(self, threshold: float, choices: int, exits: int) -> str | None:
        """Refuse what cannot be meant with a UserError; a text when it is allowed but lets nobody or everybody leave.

        `choices` of a decision are 1 where a number is predicted; `exits` counts those before the last one.
        """

    @abstractmethod
    def seen(self, logits: Floats, certainty: Floats | None) -> list[float]:
        """Thresholds that tell these samples apart, from hardly anybody leaving early on.

        logits [E, N, D, K] and certainty [E, N] are of the exits before the last one.
        """

    @abstractmethod
    def spread(self, shares: Sequence[float], choices: int, exits: int) -> list[float]:
        """Thresholds at these shares of what is possible, or all there are when they are few."""


class Limit(NamedTuple):
    """The largest uncertainty there is, and how to write it."""

    value: float
    words: str


def one(choices: int) -> Limit:
    return Limit(1.0, "1")


@dataclass(frozen=True, kw_only=True)
class Compared(Criterion):
    """A sample leaves where its uncertainty is below the threshold.

    uncertainty: logits [..., K] and certainty [...] -> [...], of each decision. limit: number of choices -> Limit.
    closed: a threshold at the limit lets everybody leave, as 1 on a scale from 0 to 1; otherwise it has no meaning and
    is refused.
    """

    uncertainty: Callable[[Floats, Floats | None], Floats]
    limit: Callable[[int], Limit] = one
    closed: bool = True

    def leave(
        self, threshold: float, tolerance: float, logits: Floats, certainty: Floats | None, state: State
    ) -> tuple[Bools, State]:
        everybody = self.closed and threshold >= self.limit(np.shape(logits)[-1]).value
        return (self._of_samples(logits, certainty) < threshold) | everybody, state

    def _of_samples(self, logits: Floats, certainty: Floats | None) -> Floats:
        """[...] of logits [..., D, K] and certainty [...]."""
        each = self.uncertainty(logits, None if certainty is None else certainty[..., None])
        return np.asarray(each.max(axis=-1))

    def nobody(self, exits: int) -> float:
        return 0.0

    def never(self, threshold: float, exits: int) -> bool:
        return threshold <= 0

    def check(self, threshold: float, choices: int, exits: int) -> str | None:
        limit = self.limit(choices)
        if threshold < 0:
            raise UserError(f"threshold {threshold:g}: must not be negative; 0 switches early exits off")
        if not self.closed and threshold >= limit.value:
            raise UserError(
                f"threshold {threshold:g}: {self.name} never exceeds {limit.words}, so everybody would leave at the"
                " first exit; give less"
            )
        if threshold > limit.value:
            raise UserError(
                f"threshold {threshold:g}: must be from 0 (nobody leaves early) to {limit.words} (all at the first"
                " exit)"
            )
        if threshold == 0:
            return "threshold 0: nobody leaves early"
        return f"threshold {limit.words}: everybody leaves at the first exit" if threshold == limit.value else None

    def seen(self, logits: Floats, certainty: Floats | None) -> list[float]:
        values = self._of_samples(logits, certainty)
        # Midway between two samples that were seen: the next sample's rounding does not decide.
        quantiles = np.unique(np.quantile(values, np.linspace(0, 1, _CANDIDATES)))
        between = (quantiles[1:] + quantiles[:-1]) / 2
        found = [float(value) for value in between if value > 0]
        return [*found, self.limit(logits.shape[-1]).value] if self.closed else found

    def spread(self, shares: Sequence[float], choices: int, exits: int) -> list[float]:
        return [share * self.limit(choices).value for share in shares]
