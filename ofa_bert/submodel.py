"""Sub-models as values: what is kept of a full model, how large that is, and which of them training covers.

Nothing here imports Paddle, so that a search or a report can reason about thousands of sub-models cheaply.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import Any, Iterable, Iterator, Sequence

from ofa_bert.errors import UserError

# 12 heads * (2/3) is 7.999... in floating point; the tolerance makes it the 8 that everybody means.
ROUNDING = 1e-6


@dataclass(frozen=True)
class ModelShape:
    """Dimensions of a full model: enough to count parameters and operations of any sub-model exactly."""

    num_layers: int
    hidden_size: int
    num_heads: int
    head_dim: int
    ffn_size: int
    vocab_size: int
    max_positions: int
    type_vocab_size: int
    num_labels: int
    task_type_vocab_size: int = 0  # ERNIE's task embedding
    fit_size: int = 0  # TinyBERT keeps projections to its teacher's width, one per hidden state and one shared

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "ModelShape":
        return cls(**value)

    def to_json(self) -> dict[str, int]:
        return asdict(self)


@dataclass(frozen=True)
class SubModelConfig:
    """Which layers of a full model are kept and, for each, how many of its leading heads and FFN neurons.

    `layers` are ascending indices into the full model; `heads` and `ffn` have one entry per kept layer.
    """

    layers: tuple[int, ...]
    heads: tuple[int, ...]
    ffn: tuple[int, ...]

    def __post_init__(self) -> None:
        # Lists from JSON become tuples, so that equal sub-models hash equally.
        for name in ("layers", "heads", "ffn"):
            object.__setattr__(self, name, tuple(int(item) for item in getattr(self, name)))
        problems = []
        if not self.layers:
            problems.append("it keeps no layer")
        if not len(self.layers) == len(self.heads) == len(self.ffn):
            problems.append(
                f"layers, heads and ffn have {len(self.layers)}, {len(self.heads)} and {len(self.ffn)} entries;"
                " give one per kept layer"
            )
        if list(self.layers) != sorted(set(self.layers)) or (self.layers and self.layers[0] < 0):
            problems.append(f"layers {list(self.layers)} are not ascending indices from 0")
        if any(count < 1 for count in self.heads + self.ffn):
            problems.append("every kept layer needs at least one head and one FFN neuron")
        if problems:
            raise UserError("not a sub-model: " + "; ".join(problems))

    @property
    def depth(self) -> int:
        return len(self.layers)

    def check_fits(self, shape: ModelShape) -> None:
        """Raise UserError when this sub-model is not part of a model of that shape."""
        problems = []
        if self.layers[-1] >= shape.num_layers:
            problems.append(f"layer {self.layers[-1]}: the model has layers 0 to {shape.num_layers - 1}")
        if max(self.heads) > shape.num_heads:
            problems.append(f"{max(self.heads)} heads: the model has {shape.num_heads}")
        if max(self.ffn) > shape.ffn_size:
            problems.append(f"{max(self.ffn)} FFN neurons: the model has {shape.ffn_size}")
        if problems:
            raise UserError("the sub-model does not fit the model: " + "; ".join(problems))

    def to_json(self) -> dict[str, list[int]]:
        return {name: list(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Any) -> "SubModelConfig":
        """Inverse of `to_json`; raises UserError for anything else."""
        if not isinstance(value, dict) or set(value) != {"layers", "heads", "ffn"}:
            raise UserError(
                'a sub-model is {"layers": [...], "heads": [...], "ffn": [...]}, one entry per kept layer;'
                f" got {str(value)[:120]}"
            )
        for name, items in value.items():
            if not isinstance(items, (list, tuple)) or any(type(item) is not int for item in items):
                raise UserError(f"a sub-model's {name!r} must be a list of whole numbers; got {str(items)[:120]}")
        return cls(**value)


def scaled(count: int, mult: float) -> int:
    """How many of `count` heads, neurons or layers a multiplier in (0, 1] keeps: rounded down, at least one."""
    return max(1, int(count * mult + ROUNDING))


def check_mult(name: str, mult: float) -> float:
    """Return `mult` when it lies in (0, 1]; raise UserError otherwise (NaN included)."""
    if not 0 < mult <= 1:
        raise UserError(f"{name} {mult}: must be above 0 and at most 1, for example 0.6666666666666666")
    return mult


def even_layers(num_layers: int, depth_mult: float) -> tuple[int, ...]:
    """Evenly spaced layers, the first and the last among them (one layer: the last, which the head reads)."""
    keep = scaled(num_layers, check_mult("depth_mult", depth_mult))
    if keep == 1:
        return (num_layers - 1,)
    return tuple(round(i * (num_layers - 1) / (keep - 1)) for i in range(keep))


def uniform(shape: ModelShape, width_mult: float, layers: Sequence[int] | None = None) -> SubModelConfig:
    """The sub-model with the same width in every kept layer (all layers when `layers` is None)."""
    check_mult("width_mult", width_mult)
    kept = tuple(range(shape.num_layers)) if layers is None else tuple(layers)
    heads, ffn = scaled(shape.num_heads, width_mult), scaled(shape.ffn_size, width_mult)
    return SubModelConfig(kept, (heads,) * len(kept), (ffn,) * len(kept))


def count_parameters(shape: ModelShape, sub_model: SubModelConfig) -> int:
    """Exact number of parameters of the extracted sub-model, embeddings and classifier included."""
    hidden = shape.hidden_size
    rows = shape.vocab_size + shape.max_positions + shape.type_vocab_size + shape.task_type_vocab_size
    embeddings = rows * hidden + 2 * hidden
    encoder = 0
    for heads, ffn in zip(sub_model.heads, sub_model.ffn):
        inner = heads * shape.head_dim
        attention = 3 * (hidden * inner + inner) + inner * hidden + hidden
        feed_forward = hidden * ffn + ffn + ffn * hidden + hidden
        encoder += attention + feed_forward + 4 * hidden
    pooler = hidden * hidden + hidden
    classifier = hidden * shape.num_labels + shape.num_labels
    fit = (sub_model.depth + 2) * (hidden + 1) * shape.fit_size
    return embeddings + encoder + pooler + classifier + fit


def count_flops(shape: ModelShape, sub_model: SubModelConfig, length: int = 128) -> int:
    """Floating-point operations of the matrix products for one sequence of `length` tokens (2 per multiply-add)."""
    hidden = shape.hidden_size
    total = 0
    for heads, ffn in zip(sub_model.heads, sub_model.ffn):
        inner = heads * shape.head_dim
        projections = 4 * hidden * inner
        attention = 2 * length * inner
        total += length * (projections + attention + 2 * hidden * ffn)
    total += hidden * hidden + hidden * shape.num_labels
    return 2 * total


@dataclass(frozen=True)
class SearchSpace:
    """The sub-models that training covers: every width with every depth.

    `kept_layers[i]` are the layers that `depth_mults[i]` keeps. Values are descending, 1.0 among them or not.
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
        width = _nearest("width_mult", width_mult, self.width_mults)
        depth = _nearest("depth_mult", depth_mult, self.depth_mults)
        return uniform(self.shape, width, self.kept_layers[self.depth_mults.index(depth)])

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

    def to_json(self) -> dict[str, Any]:
        return {
            "shape": self.shape.to_json(),
            "width_mults": list(self.width_mults),
            "depth_mults": list(self.depth_mults),
            "kept_layers": [list(layers) for layers in self.kept_layers],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "SearchSpace":
        return cls(
            ModelShape.from_json(value["shape"]),
            tuple(value["width_mults"]),
            tuple(value["depth_mults"]),
            tuple(tuple(layers) for layers in value["kept_layers"]),
        )


def _nearest(name: str, value: float, allowed: Sequence[float]) -> float:
    """The allowed value that `value` means; 0.6667 stands for 2/3."""
    check_mult(name, value)
    best = min(allowed, key=lambda item: abs(item - value))
    if abs(best - value) > 1e-3:
        raise UserError(f"{name} {value} was not trained; the supernet covers {', '.join(map(str, allowed))}")
    return best


def _distinct(items: Iterable[SubModelConfig]) -> Iterator[SubModelConfig]:
    return iter(dict.fromkeys(items))
