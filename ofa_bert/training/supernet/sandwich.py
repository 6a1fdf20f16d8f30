"""Which sub-models a step trains."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.training.loop import step_seed


@dataclass(frozen=True)
class Choice:
    """Which sub-models a step trains: all of the space, or the sandwich of `samples` drawn per step."""

    space: SearchSpace
    seed: int
    samples: int = -1

    def at(self, step: int) -> tuple[SubModelConfig, ...]:
        if self.samples < 0:
            return tuple(self.space.sub_models().values())
        # Drawn from (seed, step) alone, so that every process and every resumed run draws the same.
        return self.space.sandwich(self.samples, random.Random(step_seed(self.seed, step, 0)))
