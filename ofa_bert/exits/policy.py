"""When a sample may leave early: pure functions of what the exits say, in NumPy alone, for runtimes without Paddle.

Every function takes a whole batch; everything is computed in float64 and finite where a probability is 0.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from ofa_bert.errors import UserError
from ofa_bert.exits.criteria import registry
from ofa_bert.exits.criteria.base import Criterion, State, fresh
from ofa_bert.files.fields import Fields
from ofa_bert.numerics import Bools, Floats, Ints
from ofa_bert.tasks.kinds.registry import DEFAULT, LEAVING, kind_named

MODES = ("threshold", "predicted")


@dataclass(frozen=True)
class Policy:
    """A sample leaves at the first exit that satisfies the criterion; the last exit answers whoever is left.

    criterion: a name of criteria/registry.py; what the threshold means stands in that criterion's file. tolerance: two
    numbers that differ by less count as the same answer. kind: of the task, which says what an answer decides.
    """

    criterion: str
    threshold: float
    tolerance: float = 0.1
    kind: str = DEFAULT.name

    def __post_init__(self) -> None:
        registry.criterion(self.criterion)
        kind_named(self.kind)

    @classmethod
    def never_leaves(
        cls, exits: int, criterion: str | None = None, tolerance: float = 0.1, kind: str = DEFAULT.name
    ) -> Policy:
        """Nobody leaves at any of that many exits before the last one."""
        rule = registry.default() if criterion is None else registry.criterion(criterion)
        return cls(rule.name, rule.nobody(exits), tolerance, kind)

    @property
    def rule(self) -> Criterion:
        return registry.criterion(self.criterion)

    def never(self, exits: int) -> bool:
        """Whether no sample can leave at any of that many exits before the last one."""
        return self.rule.never(self.threshold, exits)

    def leave(self, logits: Floats, certainty: Floats | None, state: State) -> tuple[Bools, State]:
        """Who leaves [B] at an exit that answers logits [B, C] with certainty [B] or None; and the new state."""
        decisions = kind_named(self.kind).decisions(logits)  # [B, D, K]
        return self.rule.leave(self.threshold, self.tolerance, decisions, certainty, state)

    def seen(self, logits: Floats, certainty: Floats | None) -> list[float]:
        """Thresholds that tell samples apart by what the exits before the last said: [E, N, C] and [E, N]."""
        return self.rule.seen(kind_named(self.kind).decisions(logits), certainty)

    def to_json(self) -> dict[str, str | float]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> Policy:
        """Inverse of `to_json`; UserError for anything else."""
        return cls.read(Fields(value, "an exit policy"))

    @classmethod
    def read(cls, fields: Fields) -> Policy:
        """The same of a part of a file. Older ones say no kind."""
        return cls(
            fields.text("criterion", registry.CRITERIA),
            fields.number("threshold"),
            fields.number("tolerance", 0),
            fields.text("kind", LEAVING, default=DEFAULT.name),
        )


def first_exits(policy: Policy, logits: Floats, certainty: Floats | None) -> Ints:
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


def saving(layers_run: Ints, depth: int) -> float:
    """The share of layers that were not run: 1 - mean / depth (DeeBERT, eq. 2)."""
    return 1.0 - float(np.mean(layers_run)) / depth


def check_policy(fields: Fields, policy: Policy, kind: str, width: int, exits: int) -> None:
    """UserError for a policy from outside that cannot be meant for a task of that kind with `width` outputs.

    fields: what the policy was read from. exits: how many there are before the last one.
    """
    own = kind_named(kind)
    if type(kind_named(policy.kind)).decisions is not type(own).decisions:  # older files do not say their kind
        fields.wrong("kind", f"{kind}, which the task is")
    try:
        check_threshold(policy.criterion, policy.threshold, own.choices(width), exits)
    except UserError as error:
        raise UserError(f"{fields.where}: {error}; {fields.cure or 'choose another one'}") from error


def read_ask(fields: Fields, exits: int) -> tuple[int, ...]:
    """The places of the exits that may answer, ascending, among `exits` before the last one."""
    ask = fields.wholes("ask", 0)
    if list(ask) != sorted(set(ask)) or (ask and ask[-1] >= exits):
        fields.wrong("ask", f"places, ascending, among the {exits} exits before the last")
    return ask


def check_threshold(criterion: str, threshold: float, choices: int, exits: int) -> str | None:
    """Refuse what cannot be meant with a UserError; a text when it is allowed but lets nobody or everybody leave.

    `choices` of a decision are 1 where a number is predicted; `exits` counts those before the last one.
    """
    rule = registry.criterion(criterion)
    if choices == 1 and not rule.for_numbers:
        raise UserError(
            f"{criterion}: a number to predict has no probabilities; use {' or '.join(registry.FOR_NUMBERS)}"
        )
    return rule.check(threshold, choices, exits)
