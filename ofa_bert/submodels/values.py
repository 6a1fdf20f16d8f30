"""Sub-models as values: what is kept of a full model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields

from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields
from ofa_bert.reporting import shown

# 12 heads * (2/3) is 7.999... in floating point; the tolerance makes it the 8 that everybody means.
ROUNDING = 1e-6
MULTIPLIER = ", for example 0.6666666666666666"  # what a message about a multiplier adds


@dataclass(frozen=True)
class ModelShape:
    """Dimensions of a full model: enough to count parameters and operations of any sub-model exactly.

    hidden_size, head_dim, ffn_size and embedding_size are numbers of features; `vocab_size`, `max_positions` and the
    type vocabularies are rows of embedding tables. The record of every trained model holds its shape.

    >>> from ofa_bert import ModelShape
    >>> shape = ModelShape(num_layers=12, hidden_size=768, num_heads=12, head_dim=64, ffn_size=3072, vocab_size=30522,
    ...                    max_positions=512, type_vocab_size=2, num_labels=2)
    >>> ModelShape.from_json(shape.to_json()) == shape
    True
    """

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
    embedding_size: int = 0  # ELECTRA's, with a projection to the hidden size when they differ; 0: the hidden size
    per_token: int = 0  # 1: the classifier reads every token, with no dense layer before it; 2: and has an idle pooler

    @classmethod
    def from_json(cls, value: object) -> ModelShape:
        """Inverse of `to_json`; raises UserError for anything else."""
        found = Fields(value, "a model's shape")
        sizes = {field.name: None if field.default is MISSING else int(field.default) for field in fields(cls)}
        for name in found.value:
            if name not in sizes:
                found.wrong(name, f"left out: it has {', '.join(sizes)}")
        return cls(
            **{
                name: found.whole(name, least=0) if default is None else found.whole(name, least=0, default=default)
                for name, default in sizes.items()
            }
        )

    def to_json(self) -> dict[str, int]:
        """Models that answer texts as a whole are described as before there were others."""
        return {name: size for name, size in asdict(self).items() if size or name != "per_token"}


@dataclass(frozen=True)
class SubModelConfig:
    """Which layers of a full model are kept and, for each, how many of its leading heads and FFN neurons.

    `layers` are ascending indices into the full model, from 0; `heads` and `ffn` have one entry per kept layer. Equal
    sub-models hash equally. UserError when it keeps nothing, or the three do not fit each other.

    >>> from ofa_bert import SubModelConfig
    >>> small = SubModelConfig(layers=(0, 11), heads=(8, 6), ffn=(2048, 1024))
    >>> small.depth, small.to_json()
    (2, {'layers': [0, 11], 'heads': [8, 6], 'ffn': [2048, 1024]})
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
            problems.append(f"layers {shown(list(self.layers))} are not ascending indices from 0")
        if any(count < 1 for count in self.heads + self.ffn):
            problems.append("every kept layer needs at least one head and one FFN neuron")
        if problems:
            raise UserError("not a sub-model: " + "; ".join(problems))

    def check_has(self, who: str, wanted: Mapping[str, tuple[int, str]]) -> None:
        """UserError when more is wanted than this has.

        wanted: "layers", "heads", "ffn" -> (number, the option that asks for it).
        """
        most = {"layers": self.depth, "heads": min(self.heads), "ffn": min(self.ffn)}
        nouns = {"layers": "layers", "heads": "heads", "ffn": "FFN neurons"}
        problems = [
            f"{flag}: {number} {nouns[name]}, and {who} has {most[name]}"
            + ("" if name == "layers" else " in its narrowest layer")
            + f"; ask for 1 to {most[name]}"
            for name, (number, flag) in wanted.items()
            if not 1 <= number <= most[name]
        ]
        if problems:
            raise UserError("; ".join(problems))

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
    def from_json(cls, value: object) -> SubModelConfig:
        """Inverse of `to_json`; raises UserError for anything else."""
        if not isinstance(value, dict) or set(value) != {"layers", "heads", "ffn"}:
            raise UserError(
                'a sub-model is {"layers": [...], "heads": [...], "ffn": [...]}, one entry per kept layer;'
                f" got {shown(value)}"
            )
        for name, items in value.items():
            if not isinstance(items, (list, tuple)) or any(type(item) is not int for item in items):
                raise UserError(f"a sub-model's {name!r} must be a list of whole numbers; got {shown(items)}")
        return cls(**{name: tuple(items) for name, items in value.items()})


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
