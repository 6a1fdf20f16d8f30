"""What trials of sets of layers found, as values: which set was chosen for each depth, and why. Imports no Paddle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from ofa_bert.submodels.layer_sets import Layers


@dataclass(frozen=True)
class LayerTrial:
    """A set of layers after a short training: its score on the held-out part, its distance from the teacher there."""

    name: str
    layers: Layers
    score: float
    distance: float

    def __str__(self) -> str:
        layers = " ".join(map(str, self.layers))
        return f"{self.name} ({layers}): held out {self.score:.4f}, {self.distance:.4g} from the teacher"


def best_trial(trials: Sequence[LayerTrial]) -> LayerTrial:
    """The highest score; of equal ones the nearest to the teacher, then the first. NaN is worse than any number."""

    def worth(trial: LayerTrial) -> tuple[float, float]:
        score = -math.inf if math.isnan(trial.score) else trial.score
        return score, -math.inf if math.isnan(trial.distance) else -trial.distance

    return max(trials, key=worth)


@dataclass(frozen=True)
class ChosenDepth:
    """The layers that a depth keeps, and the trials behind that where there were any."""

    depth_mult: float
    layers: Layers
    trials: tuple[LayerTrial, ...] = ()

    def __str__(self) -> str:
        layers = " ".join(map(str, self.layers))
        return f"{layers}: {best_trial(self.trials).name}, the best of {len(self.trials)}" if self.trials else layers

    def to_json(self) -> dict[str, object]:
        chosen = {"chosen": best_trial(self.trials).name} if self.trials else {}
        trials = {"trials": [asdict(trial) for trial in self.trials]} if self.trials else {}
        return {"depth_mult": self.depth_mult, "layers": list(self.layers), **chosen, **trials}


@dataclass(frozen=True)
class LayerChoice:
    """Of every depth, descending. by: `layer_choice` of the job. steps, examples: of a trial's training and scoring."""

    by: str
    depths: tuple[ChosenDepth, ...]
    steps: int | None = None
    examples: int | None = None

    def to_json(self) -> dict[str, object]:
        about = {"by": self.by, "steps": self.steps, "examples": self.examples}
        found = {name: value for name, value in about.items() if value is not None}
        return {**found, "depths": [depth.to_json() for depth in self.depths]}

    @property
    def depth_mults(self) -> tuple[float, ...]:
        return tuple(depth.depth_mult for depth in self.depths)

    @property
    def kept_layers(self) -> tuple[Layers, ...]:
        return tuple(depth.layers for depth in self.depths)
