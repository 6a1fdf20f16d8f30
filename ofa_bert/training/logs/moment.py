"""What a training says of itself at a step, every number by its name. Imports no Paddle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ofa_bert.files.fields import Fields
from ofa_bert.models.record import is_number, numbers


@dataclass(frozen=True, kw_only=True)
class Moment:
    """After `step` optimizer steps. losses: means since the moment before. scores: of an evaluation, flat."""

    step: int
    losses: Mapping[str, float] = field(default_factory=dict)
    learning_rate: float | None = None
    steps_per_second: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)

    def named(self) -> dict[str, float]:
        """Every number by the name that viewers show: train/loss, evaluation/accuracy."""
        found = {f"train/{name}": value for name, value in self.losses.items()}
        if self.learning_rate is not None:
            found["train/learning_rate"] = self.learning_rate
        if self.steps_per_second is not None:
            found["train/steps_per_second"] = self.steps_per_second
        return {**found, **{f"evaluation/{name}": value for name, value in self.scores.items()}}

    def to_json(self) -> dict[str, object]:
        values = {
            "step": self.step,
            "losses": dict(self.losses) or None,
            "learning_rate": self.learning_rate,
            "steps_per_second": self.steps_per_second,
            "scores": dict(self.scores) or None,
        }
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def of(cls, fields: Fields) -> Moment:
        """Inverse of `to_json`. UserError for a field that no training writes so."""
        return cls(
            step=fields.whole("step", 0),
            losses=numbers(fields.mapping("losses", default={})),
            learning_rate=fields.number("learning_rate", 0, default=None),
            steps_per_second=fields.number("steps_per_second", 0, default=None),
            scores=numbers(fields.mapping("scores", default={})),
        )


def named_scores(scores: Mapping[str, object], before: str = "") -> dict[str, float]:
    """The numbers of an evaluation by their place: w0.5_d1/accuracy; of a list's objects by their name or layers.

    >>> named_scores({"w1_d1": {"f1": 0.5}, "exits": [{"name": "model", "exits": [{"layers": 3, "f1": 0.25}]}]})
    {'w1_d1/f1': 0.5, 'model/3/f1': 0.25}
    """
    found: dict[str, float] = {}
    for name, value in scores.items():
        if is_number(value):
            found[before + name] = value
        elif isinstance(value, Mapping):
            found.update(named_scores(value, f"{before}{name}/"))
        elif isinstance(value, list):
            for label, rest in _labelled(value):
                found.update(named_scores(rest, f"{before}{label}/"))
    return found


def _labelled(items: list[object]) -> list[tuple[str, dict[str, object]]]:
    """(what an object of a list is called, its other fields), of those that are called something."""
    found = []
    for item in items:
        label = next((key for key in ("name", "layers") if isinstance(item, Mapping) and key in item), None)
        if label is not None and isinstance(item, Mapping):
            found.append((str(item[label]), {key: value for key, value in item.items() if key != label}))
    return found
