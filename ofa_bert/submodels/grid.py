"""The sub-models that training covers: widths times depths."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields
from ofa_bert.submodels.values import ModelShape, SubModelConfig, check_mult, even_layers, uniform

_MEANT = 0.01  # a multiplier so close to a trained one means that


@dataclass(frozen=True)
class SearchSpace:
    """The sub-models that training covers: every width with every depth.

    `kept_layers[i]` are the layers that `depth_mults[i]` keeps. Values are descending, 1.0 among them or not.
    UserError for a multiplier outside (0, 1].

    >>> from ofa_bert import ModelShape, SearchSpace
    >>> shape = ModelShape(12, 768, 12, 64, 3072, 30522, 512, 2, num_labels=2)
    >>> space = SearchSpace(shape, width_mults=(1.0, 2 / 3), depth_mults=(1.0, 0.5))
    >>> list(space.sub_models())
    ['w1_d1', 'w0.6667_d1', 'w1_d0.5', 'w0.6667_d0.5']
    >>> space.sub_model(width_mult=0.6667, depth_mult=0.5).heads
    (8, 8, 8, 8, 8, 8)
    """

    shape: ModelShape
    width_mults: tuple[float, ...]
    depth_mults: tuple[float, ...] = (1.0,)
    kept_layers: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        for name in ("width_mults", "depth_mults"):
            values = sorted({check_mult(name[:-1], float(v)) for v in getattr(self, name)}, reverse=True)
            if not values:
                raise UserError(f"{name} is empty; give at least 1.0")
            if self.kept_layers and name == "depth_mults" and values != list(self.depth_mults):
                raise UserError("depth_mults must be descending and distinct when kept_layers are given")
            object.__setattr__(self, name, tuple(values))
        kept = self.kept_layers or tuple(even_layers(self.shape.num_layers, d) for d in self.depth_mults)
        if len(kept) != len(self.depth_mults):
            raise UserError(f"{len(self.depth_mults)} depth_mults need as many kept_layers; got {len(kept)}")
        object.__setattr__(self, "kept_layers", tuple(tuple(layers) for layers in kept))
        for sub_model in self.sub_models().values():
            sub_model.check_fits(self.shape)

    def sub_model(self, width_mult: float, depth_mult: float = 1.0) -> SubModelConfig:
        """The trained sub-model of these two multipliers; UserError with the trained list for any other."""
        width, depth = self.trained(width_mult, depth_mult)
        return uniform(self.shape, width, self.kept_layers[self.depth_mults.index(depth)])

    def trained(self, width_mult: float, depth_mult: float = 1.0) -> tuple[float, float]:
        """The trained multipliers that these two stand for; UserError with the trained list for any other."""
        return (
            _nearest("width_mult", width_mult, self.width_mults),
            _nearest("depth_mult", depth_mult, self.depth_mults),
        )

    def sub_models(self) -> dict[str, SubModelConfig]:
        """Name -> sub-model, largest first; multipliers that round to the same sub-model appear once."""
        found: dict[str, SubModelConfig] = {}
        for depth, layers in zip(self.depth_mults, self.kept_layers):
            for width in self.width_mults:
                sub_model = uniform(self.shape, width, layers)
                if sub_model not in found.values():
                    found[f"w{width:.4g}_d{depth:.4g}"] = sub_model
        return found

    @property
    def largest(self) -> SubModelConfig:
        return next(iter(self.sub_models().values()))

    @property
    def smallest(self) -> SubModelConfig:
        return list(self.sub_models().values())[-1]

    def sandwich(self, samples: int, rng: random.Random) -> tuple[SubModelConfig, ...]:
        """Largest, smallest and `samples` others drawn without repetition (the sandwich rule)."""
        every = list(self.sub_models().values())
        between = every[1:-1]
        drawn = rng.sample(between, min(samples, len(between)))
        return tuple(_distinct([every[0], *drawn, every[-1]]))

    def to_json(self) -> dict[str, object]:
        return {
            "shape": self.shape.to_json(),
            "width_mults": list(self.width_mults),
            "depth_mults": list(self.depth_mults),
            "kept_layers": [list(layers) for layers in self.kept_layers],
        }

    @classmethod
    def from_json(cls, value: object) -> SearchSpace:
        """Inverse of `to_json`; raises UserError for anything else."""
        found = Fields(value, "a search space")
        return cls(
            found.made("shape", ModelShape.from_json),
            found.numbers("width_mults"),
            found.numbers("depth_mults"),
            found.made("kept_layers", _layers),
        )


def multipliers(name: str) -> dict[str, object] | None:
    """The options that a sub-model's name in a table stands for: w0.6667_d0.5; None for anything else."""
    found = re.fullmatch(r"w(\d*\.?\d+)_d(\d*\.?\d+)", name)
    return found and {"width_mult": float(found[1]), "depth_mult": float(found[2])}


def _layers(value: object) -> tuple[tuple[int, ...], ...]:
    if not isinstance(value, list):
        raise ValueError("no list")
    return tuple(Fields({"layers": layers}, "kept layers").wholes("layers", least=0) for layers in value)


def _nearest(name: str, value: float, allowed: Sequence[float]) -> float:
    """The allowed value that `value` means; 0.67 stands for 2/3."""
    check_mult(name, value)
    best = min(allowed, key=lambda item: abs(item - value))
    if abs(best - value) > _MEANT:
        raise UserError(f"{name} {value} was not trained; the supernet covers {', '.join(map(str, allowed))}")
    return best


def _distinct(items: Iterable[SubModelConfig]) -> Iterator[SubModelConfig]:
    return iter(dict.fromkeys(items))
