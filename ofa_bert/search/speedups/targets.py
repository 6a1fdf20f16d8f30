"""A target of a family, what is measured for it, and the small steps that bring a sub-model to its speed. No Paddle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ofa_bert.search.front import Point, precision_of
from ofa_bert.submodels.uneven import UnevenSpace
from ofa_bert.submodels.values import SubModelConfig

TOLERANCE = 0.03  # of a target's latency, on either side
NEURONS = 32  # of one step; one head is as much in most models
_MOST_STEPS = 16
_CENTRE = TOLERANCE / 6  # near enough: what is measured wavers by more


class Choice(NamedTuple):
    """A sub-model and what it computes in."""

    sub_model: SubModelConfig
    precision: str

    @classmethod
    def of(cls, point: Point) -> Choice:
        return cls(point.sub_model, precision_of(point))


class Pair(NamedTuple):
    """Milliseconds of a choice, and of the full model that ran in turn with it."""

    ms: float
    full_ms: float

    @property
    def speedup(self) -> float:
        return self.full_ms / self.ms


@dataclass(frozen=True)
class Target:
    """How many times as fast as the full model."""

    speedup: float

    @property
    def name(self) -> str:
        return f"x{self.speedup:g}"

    def off(self, speedup: float) -> float:
        """By which share of the target's latency something of that speed is slower; below 0: faster."""
        return self.speedup / speedup - 1.0

    def meets(self, speedup: float) -> bool:
        return abs(self.off(speedup)) <= TOLERANCE


@dataclass(frozen=True)
class Member:
    """What was chosen for a target, with its measurement."""

    target: Target
    point: Point
    pair: Pair

    @property
    def within(self) -> bool:
        return self.target.meets(self.pair.speedup)


def near(points: Sequence[Point], full_ms: float, targets: Sequence[Target], most: int) -> list[SubModelConfig]:
    """At most about `most` sub-models in all: for each target the best of its speed, then the nearest to it.

    full_ms: of the full model; the points' cost is a latency as well.
    """
    found: dict[SubModelConfig, None] = {}
    for target in targets:

        def rank(point: Point, target: Target = target) -> tuple[float, float]:
            off = abs(target.off(full_ms / point.cost))
            return (0.0 if off <= TOLERANCE else off, -point.value)

        found.update(dict.fromkeys(p.sub_model for p in sorted(points, key=rank)[: max(1, most // len(targets))]))
    return list(found)


def neighbours(space: UnevenSpace, sub_model: SubModelConfig) -> Iterator[SubModelConfig]:
    """The sub-models that have one head, or NEURONS neurons, more or less in one layer."""
    bounds = {
        "heads": (1, min(space.heads), space.shape.num_heads),
        "ffn": (NEURONS, min(space.ffn), space.shape.ffn_size),
    }
    parts = {"heads": sub_model.heads, "ffn": sub_model.ffn}
    for name, (step, least, most) in bounds.items():
        for place, count in enumerate(parts[name]):
            for other in (count - step, count + step):
                if least <= other <= most:
                    changed = (*parts[name][:place], other, *parts[name][place + 1 :])
                    yield SubModelConfig(sub_model.layers, **{**parts, name: changed})


def approach(
    space: UnevenSpace, sub_model: SubModelConfig, off: Callable[[SubModelConfig], float]
) -> SubModelConfig | None:
    """The sub-model a few steps from this one whose speed is the target's; None when they do not lead there.

    off: as `Target.off`, of a sub-model.
    """
    now = abs(off(sub_model))
    for _ in range(_MOST_STEPS):
        if now <= _CENTRE:
            break
        offs = {other: abs(off(other)) for other in neighbours(space, sub_model)}
        nearest = min(offs, key=lambda other: offs[other], default=sub_model)
        if offs.get(nearest, now) >= now:
            break
        sub_model, now = nearest, offs[nearest]
    return sub_model if now <= TOLERANCE else None
