"""When a sample may leave early: pure functions of what the exits say, in NumPy alone, for runtimes without Paddle.

Every function takes a whole batch; everything is computed in float64 and finite where a probability is 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ofa_bert.errors import UserError
from ofa_bert.numerics import log_softmax

# What a threshold is compared with; the last two also work for regression.
CRITERIA = ("entropy", "normalised", "certainty", "patience")
FOR_REGRESSION = ("certainty", "patience")
NO_PREDICTION = np.nan


def entropy(logits: np.ndarray) -> np.ndarray:
    """Shannon entropy [...] of softmax(logits [..., C]) in nats, 0 to ln C (DeeBERT)."""
    log_p = log_softmax(logits)
    p = np.exp(log_p)
    # 0 * log 0 is 0 here; with a logit of -inf it would be NaN.
    terms = np.multiply(p, log_p, out=np.zeros_like(p), where=p > 0)
    return np.clip(-terms.sum(axis=-1), 0.0, math.log(p.shape[-1]))


def normalised_entropy(logits: np.ndarray) -> np.ndarray:
    """Entropy as a share of its largest value ln C: 0 to 1 for any number of classes (FastBERT, GEEP)."""
    classes = np.shape(logits)[-1]
    if classes < 2:
        raise ValueError("entropy needs at least two classes")
    return np.minimum(entropy(logits) / math.log(classes), 1.0)


def predictions(logits: np.ndarray) -> np.ndarray:
    """The class [...] of logits [..., C], or the number itself when C is 1; float64."""
    logits = np.asarray(logits)
    return (logits[..., 0] if logits.shape[-1] == 1 else logits.argmax(axis=-1)).astype(np.float64)


class State(NamedTuple):
    """What a policy remembers of each active sample: the last exit's answer [B], and for how many exits it held [B]."""

    prediction: np.ndarray
    streak: np.ndarray

    def select(self, rows: np.ndarray) -> State:
        return State(self.prediction[rows], self.streak[rows])

    @classmethod
    def join(cls, parts: list[State]) -> State:
        return cls(*(np.concatenate(items) for items in zip(*parts)))


def fresh(count: int) -> State:
    """The state of `count` samples that have met no exit yet."""
    return State(np.full(count, NO_PREDICTION), np.zeros(count, dtype=np.int64))


@dataclass(frozen=True)
class Policy:
    """A sample leaves at the first exit that satisfies the criterion; the last exit answers whoever is left.

    entropy      entropy < threshold, in nats: 0 never, above ln C everybody at the first exit
    normalised   entropy / ln C < threshold: 0 never, 1 everybody at the first exit
    certainty    1 - learned certainty < threshold: 0 never, 1 everybody at the first exit (BERxiT)
    patience     the answer was confirmed by `threshold` further exits in a row: 0 everybody at the first exit (PABEE);
                 of two numbers, the second confirms the first when they differ by less than `tolerance`
    """

    criterion: str
    threshold: float
    tolerance: float = 0.1

    def __post_init__(self) -> None:
        if self.criterion not in CRITERIA:
            raise ValueError(f"no criterion {self.criterion!r}; there are {', '.join(CRITERIA)}")

    def never(self, exits: int) -> bool:
        """Whether no sample can leave at any of that many exits before the last one."""
        return self.threshold >= exits if self.criterion == "patience" else self.threshold <= 0

    def leave(self, logits: np.ndarray, certainty: np.ndarray | None, state: State) -> tuple[np.ndarray, State]:
        """Who leaves [B] at an exit that answers logits [B, C] with certainty [B] or None; and the new state."""
        if self.criterion != "patience":
            uncertain = uncertainty(self.criterion, logits, certainty)
            everybody = self.criterion != "entropy" and self.threshold >= 1
            return (uncertain < self.threshold) | everybody, state
        now = predictions(logits)
        near = self.tolerance if np.shape(logits)[-1] == 1 else 0.5  # classes are whole numbers
        same = np.abs(now - state.prediction) < near  # False for NO_PREDICTION
        streak = np.where(same, state.streak + 1, 0)
        return streak >= self.threshold, State(now, streak)

    def to_json(self) -> dict[str, Any]:
        return {"criterion": self.criterion, "threshold": self.threshold, "tolerance": self.tolerance}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Policy:
        return cls(value["criterion"], float(value["threshold"]), float(value["tolerance"]))


def uncertainty(criterion: str, logits: np.ndarray, certainty: np.ndarray | None) -> np.ndarray:
    """What a threshold is compared with [...], for logits [..., C] and learned certainty [...]."""
    if criterion == "certainty":
        return 1.0 - np.asarray(certainty, dtype=np.float64)
    return entropy(logits) if criterion == "entropy" else normalised_entropy(logits)


def first_exits(policy: Policy, logits: np.ndarray, certainty: np.ndarray | None) -> np.ndarray:
    """The place [N] of the exit that answers each sample, 0 to E, given all E + 1 exits' logits [E + 1, N, C].

    `certainty` is [E, N] or None. Place E is the last exit, which answers whoever did not leave before.
    """
    exits, count = len(logits) - 1, logits.shape[1]
    places, active = np.full(count, exits, dtype=np.int64), np.ones(count, dtype=bool)
    state = fresh(count)
    for place in range(exits):
        leave, state = policy.leave(logits[place], None if certainty is None else certainty[place], state)
        places[active & leave] = place
        active &= ~leave
    return places


def saving(layers_run: np.ndarray, depth: int) -> float:
    """The share of layers that were not run: 1 - mean / depth (DeeBERT, eq. 2)."""
    return 1.0 - float(np.mean(layers_run)) / depth


def check_threshold(criterion: str, threshold: float, num_labels: int, exits: int) -> str | None:
    """Refuse what cannot be meant with a UserError; a text when it is allowed but lets nobody or everybody leave.

    `num_labels` is 1 for regression; `exits` counts those before the last one.
    """
    if num_labels == 1 and criterion not in FOR_REGRESSION:
        raise UserError(f"{criterion}: a number to predict has no probabilities; use {' or '.join(FOR_REGRESSION)}")
    if criterion == "patience":
        if threshold < 1 or threshold != int(threshold):
            raise UserError(f"threshold {threshold:g}: patience is a whole number of exits, at least 1")
        return f"patience {threshold:g} with {exits} exits: nobody leaves early" if threshold >= exits else None
    if threshold < 0:
        raise UserError(f"threshold {threshold:g}: must not be negative; 0 switches early exits off")
    if criterion == "entropy" and threshold >= math.log(num_labels):
        raise UserError(
            f"threshold {threshold:g}: entropy never exceeds ln {num_labels} = {math.log(num_labels):.3f}, so everybody"
            " would leave at the first exit; give less"
        )
    if criterion != "entropy" and threshold > 1:
        raise UserError(f"threshold {threshold:g}: must be from 0 (nobody leaves early) to 1 (all at the first exit)")
    if threshold == 0:
        return "threshold 0: nobody leaves early"
    return "threshold 1: everybody leaves at the first exit" if criterion != "entropy" and threshold == 1 else None


MODES = ("threshold", "predicted")
