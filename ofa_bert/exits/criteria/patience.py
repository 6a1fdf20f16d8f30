"""How many exits in a row say the same (PABEE)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ofa_bert.errors import UserError
from ofa_bert.exits.criteria.base import Criterion, State
from ofa_bert.numerics import Bools, Floats


def predictions(logits: Floats) -> Floats:
    """The choice [...] of logits [..., K], or the number itself when K is 1; float64."""
    logits = np.asarray(logits)
    return (logits[..., 0] if logits.shape[-1] == 1 else logits.argmax(axis=-1)).astype(np.float64)


@dataclass(frozen=True)
class Patience(Criterion):
    """A sample leaves when `threshold` further exits in a row confirmed an answer; 0: everybody at the first exit.

    Of two numbers, the second confirms the first when they differ by less than `tolerance`.
    """

    def leave(
        self, threshold: float, tolerance: float, logits: Floats, certainty: Floats | None, state: State
    ) -> tuple[Bools, State]:
        now = predictions(logits)  # [B, D]
        near = tolerance if np.shape(logits)[-1] == 1 else 0.5  # classes are whole numbers
        same = (np.abs(now - state.prediction) < near).all(axis=-1)  # [B], False for NO_PREDICTION
        streak = np.where(same, state.streak + 1, 0)
        return streak >= threshold, State(now, streak)

    def nobody(self, exits: int) -> float:
        return float(exits)

    def never(self, threshold: float, exits: int) -> bool:
        return threshold >= exits

    def check(self, threshold: float, choices: int, exits: int) -> str | None:
        if threshold < 1 or not float(threshold).is_integer():
            raise UserError(f"threshold {threshold:g}: patience is a whole number of exits, at least 1")
        return f"patience {threshold:g} with {exits} exits: nobody leaves early" if threshold >= exits else None

    def seen(self, logits: Floats, certainty: Floats | None) -> list[float]:
        return self.spread((), logits.shape[-1], len(logits))

    def spread(self, shares: Sequence[float], choices: int, exits: int) -> list[float]:
        return [float(patience) for patience in range(exits - 1, 0, -1)]


CRITERION = Patience("patience", "so many exits in a row that confirm an answer", for_numbers=True, counts=True)
