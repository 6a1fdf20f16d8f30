"""The space of uneven sub-models: any layers, each with its own heads and neurons. No Paddle."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ofa_bert.errors import UserError
from ofa_bert.submodels.values import ModelShape, SubModelConfig, scaled

DROPPED = 0.2  # of the layers of a sub-model drawn at random: few enough that most of them still answer well
# Of children. Most mix two parents, layer by layer and half of each, since good layers are good in many sub-models; the
# changes are small, as a front is found by small trades: a step is twice as likely as a layer that comes or goes, which
# costs a whole layer at once.
CROSSOVER = 0.7
FROM_SECOND = 0.5
MOST_CHANGES, LONGEST_STEP = 3, 2
KINDS = ("step", "step", "move", "move", "layer")


@dataclass(frozen=True)
class UnevenSpace:
    """Every choice of kept layers, and for each kept layer one of `heads` and one of `ffn`.

    A sub-model is written as genes: heads_<layer> is 0 for a dropped layer, else 1 + the place in `heads`; ffn_<layer>
    is the place in `ffn`, without a meaning when the layer is dropped.
    """

    shape: ModelShape
    heads: tuple[int, ...]
    ffn: tuple[int, ...]
    min_depth: int = 1

    def __post_init__(self) -> None:
        for name, most in (("heads", self.shape.num_heads), ("ffn", self.shape.ffn_size)):
            values = tuple(sorted(set(getattr(self, name))))
            if not values or values[0] < 1 or values[-1] > most:
                raise UserError(f"{name} {list(values)}: choices must lie between 1 and {most}")
            object.__setattr__(self, name, values)
        if not 1 <= self.min_depth <= self.shape.num_layers:
            raise UserError(f"min_depth {self.min_depth}: the model has {self.shape.num_layers} layers")

    @property
    def droppable(self) -> bool:
        return self.min_depth < self.shape.num_layers

    def ranges(self) -> dict[str, tuple[int, int]]:
        """Lowest and highest value of every gene."""
        lowest = 0 if self.droppable else 1
        found = {}
        for layer in range(self.shape.num_layers):
            found[f"heads_{layer}"] = (lowest, len(self.heads))
            found[f"ffn_{layer}"] = (0, len(self.ffn) - 1)
        return found

    def decode(self, genes: Mapping[str, int]) -> SubModelConfig | None:
        """The sub-model of these genes; None when it keeps fewer layers than `min_depth`."""
        kept = [layer for layer in range(self.shape.num_layers) if genes[f"heads_{layer}"]]
        if len(kept) < self.min_depth:
            return None
        heads = [self.heads[genes[f"heads_{layer}"] - 1] for layer in kept]
        return SubModelConfig(tuple(kept), tuple(heads), tuple(self.ffn[genes[f"ffn_{layer}"]] for layer in kept))

    def encode(self, sub_model: SubModelConfig) -> dict[str, int]:
        """The genes of the sub-model, or of the nearest one in the space."""
        genes = {}
        place = {layer: i for i, layer in enumerate(sub_model.layers)}
        for layer in range(self.shape.num_layers):
            if layer in place:
                genes[f"heads_{layer}"] = 1 + _nearest(self.heads, sub_model.heads[place[layer]])
                genes[f"ffn_{layer}"] = _nearest(self.ffn, sub_model.ffn[place[layer]])
            else:
                genes[f"heads_{layer}"], genes[f"ffn_{layer}"] = 0, 0
        return genes

    def draw(self, rng: random.Random) -> dict[str, int]:
        """Random genes; a share DROPPED of the layers is dropped, as far as `min_depth` allows."""
        genes = {
            name: rng.randint(max(low, name.startswith("heads")), high) for name, (low, high) in self.ranges().items()
        }
        for layer in rng.sample(range(self.shape.num_layers), self.shape.num_layers - self.min_depth):
            if rng.random() < DROPPED:
                genes[f"heads_{layer}"] = 0
        return genes

    def every(self) -> Iterator[SubModelConfig]:
        """All sub-models, for brute force on a small space."""
        options = [(0, 0)] * self.droppable + list(itertools.product(self.heads, self.ffn))
        for choice in itertools.product(options, repeat=self.shape.num_layers):
            kept = [layer for layer, (heads, _) in enumerate(choice) if heads]
            if len(kept) >= self.min_depth:
                yield SubModelConfig(tuple(kept), tuple(choice[k][0] for k in kept), tuple(choice[k][1] for k in kept))


def uneven_space(shape: ModelShape, min_width: float, min_depth: float, steps: int = 12) -> UnevenSpace:
    """Heads one by one, FFN neurons in `steps` equal steps, both from the share `min_width` on."""
    heads = tuple(range(scaled(shape.num_heads, min_width), shape.num_heads + 1))
    neurons = {scaled(shape.ffn_size, k / steps) for k in range(1, steps + 1)}
    fewest = scaled(shape.ffn_size, min_width)
    ffn = {fewest, *(n for n in neurons if n >= fewest), shape.ffn_size}
    return UnevenSpace(shape, heads, tuple(ffn), scaled(shape.num_layers, min_depth))


def _nearest(values: Sequence[int], wanted: int) -> int:
    return min(range(len(values)), key=lambda i: (abs(values[i] - wanted), i))


def vary(
    space: UnevenSpace, parents: Sequence[Mapping[str, int]], rng: random.Random, crossover: float = CROSSOVER
) -> dict[str, int]:
    """A child's genes: two parents mixed layer by layer, then one to three small changes.

    A change moves one gene by a step or two, moves a step from one layer to another (which hardly changes the cost), or
    drops or restores a layer.
    """
    first, second = rng.choice(parents), rng.choice(parents)
    child = dict(first)
    if rng.random() < crossover:
        for layer in range(space.shape.num_layers):
            if rng.random() < FROM_SECOND:
                for name in (f"heads_{layer}", f"ffn_{layer}"):
                    child[name] = second[name]
    ranges = space.ranges()
    for _ in range(rng.randint(1, MOST_CHANGES)):
        kind = rng.choice(KINDS)
        if kind == "layer" and space.droppable:
            name = f"heads_{rng.randrange(space.shape.num_layers)}"
            child[name] = 0 if child[name] else rng.randint(1, len(space.heads))
            continue
        part, size = rng.choice(("heads", "ffn")), rng.randint(1, LONGEST_STEP)
        kept = [layer for layer in range(space.shape.num_layers) if child[f"heads_{layer}"]]
        layers = rng.sample(kept, min(len(kept), 2 if kind == "move" else 1))
        signs = (1, -1) if kind == "move" else (rng.choice((1, -1)),)
        for layer, sign in zip(layers, signs):
            name = f"{part}_{layer}"
            low, high = max(ranges[name][0], 1 if part == "heads" else 0), ranges[name][1]
            child[name] = min(high, max(low, child[name] + sign * size))
    return child
