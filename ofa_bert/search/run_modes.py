"""The ways to run one sub-model: in which precision, and with which threshold of early exits.

All of them follow from what the sub-model's exits say of some examples and from a latency table for each precision:
nothing is run again for another threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np

from ofa_bert.bundle.entries import PRECISIONS
from ofa_bert.bundle.latency_table import LatencyTable
from ofa_bert.exits.criteria import registry
from ofa_bert.exits.outputs import Outputs
from ofa_bert.exits.policy import Policy
from ofa_bert.exits.sweep import answers_at, taken, worth_asking
from ofa_bert.files.fields import Fields
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.tasks.kinds.registry import DEFAULT

# Shares of the largest uncertainty that are tried as thresholds.
_SHARES = (0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


class RunModeJson(TypedDict):
    precision: str
    policy: Mapping[str, object] | None
    ask: list[int]


@dataclass(frozen=True)
class RunMode:
    """policy None: in one piece. ask: the places of the exits before the last that may answer."""

    precision: str
    policy: Policy | None = None
    ask: tuple[int, ...] = ()

    def to_json(self) -> RunModeJson:
        return {
            "precision": self.precision,
            "policy": None if self.policy is None else self.policy.to_json(),
            "ask": list(self.ask),
        }

    @classmethod
    def from_json(cls, value: RunModeJson) -> RunMode:
        policy = Policy.from_json(value["policy"]) if value["policy"] else None
        return cls(value["precision"], policy, tuple(value["ask"]))

    @classmethod
    def of(cls, fields: Fields) -> RunMode:
        """The same of a part of a file; UserError for what is none."""
        policy = Policy.read(fields.inner("policy")) if "policy" in fields else None
        return cls(fields.text("precision", PRECISIONS), policy, fields.wholes("ask", 0))

    def places(self, outputs: Outputs) -> np.ndarray:
        """The place [N] of the exit that answers each example."""
        if self.policy is None:
            return np.full(outputs.logits.shape[1], len(outputs.layers) - 1)
        return taken(self.policy, outputs, self.ask)

    def logits(self, outputs: Outputs) -> np.ndarray:
        """The answers [N, C]."""
        return answers_at(outputs, self.places(outputs))

    def described(self) -> str:
        if self.policy is None:
            return self.precision
        return f"{self.precision}, exits {self.policy.criterion} {self.policy.threshold:.3g}"


@dataclass(frozen=True)
class Run:
    """What became of some examples: answers [N, C], mean latency of a call, the share that left at each exit."""

    way: RunMode
    logits: np.ndarray
    latency_ms: float | None
    shares: tuple[float, ...]
    layers: tuple[int, ...]  # that run until each exit

    @property
    def mean_layers(self) -> float:
        return float(np.dot(self.shares, self.layers))


@dataclass(frozen=True)
class RunModes:
    """`tables` by precision; with none, a sub-model has one way and no latency. Without `policies`, one per table."""

    tables: Mapping[str, LatencyTable] = field(default_factory=dict)
    policies: Sequence[Policy] = ()

    @property
    def precisions(self) -> tuple[str, ...]:
        return tuple(self.tables) or ("fp32",)

    def runs(self, sub_model: SubModelConfig, outputs: Outputs, precisions: Sequence[str] = ()) -> list[Run]:
        """Every way in `precisions`, default all, whole ones first. Answers are taken to be those of any precision."""
        policies = [None, *self.policies] if len(outputs.layers) > 1 else [None]
        asked = {policy: worth_asking(policy, outputs) for policy in policies if policy is not None}
        found = []
        for precision in precisions or self.precisions:
            for policy in policies:
                ask = () if policy is None else asked[policy]
                if policy is not None and not ask:
                    continue
                way = RunMode(precision, policy, ask)
                places = way.places(outputs)
                shares = np.bincount(places, minlength=len(outputs.layers)) / len(places)
                table = self.tables.get(precision)
                ms = None if table is None else _mean_ms(table, sub_model, outputs.layers, way, shares)
                logits = answers_at(outputs, places)
                found.append(Run(way, logits, ms, tuple(shares.tolist()), tuple(outputs.layers)))
        return found


def _mean_ms(
    table: LatencyTable, sub_model: SubModelConfig, layers: Sequence[int], way: RunMode, shares: np.ndarray
) -> float:
    if way.policy is None:
        return table.predict(sub_model)
    return float(shares @ table.after_exits(sub_model, layers, way.ask))


def thresholds(
    criterion: str, choices: int, exits: int, tolerance: float = 0.1, kind: str = DEFAULT.name
) -> list[Policy]:
    """The policies that a search tries, from hardly anybody leaving early on."""
    found = registry.criterion(criterion).spread(_SHARES, choices, exits)
    return [Policy(criterion, threshold, tolerance, kind) for threshold in found]
