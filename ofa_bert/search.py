"""What a search over sub-models is made of: the space of uneven ones, Pareto fronts, budgets, first guesses. No Paddle.

A search maximises a value (a score, or a score less a loss) and minimises one cost (latency, parameters or FLOPs). Both
are callables of a sub-model, so everything here is proved against brute force on spaces small enough to enumerate.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, Mapping, Optional, Sequence

from ofa_bert.errors import RunError, UserError
from ofa_bert.submodel import ModelShape, SubModelConfig, scaled

Cost = Callable[[SubModelConfig], float]


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

    def decode(self, genes: Mapping[str, int]) -> Optional[SubModelConfig]:
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
        """Random genes; one layer in five is dropped, as far as `min_depth` allows."""
        genes = {
            name: rng.randint(max(low, name.startswith("heads")), high) for name, (low, high) in self.ranges().items()
        }
        for layer in rng.sample(range(self.shape.num_layers), self.shape.num_layers - self.min_depth):
            if rng.random() < 0.2:
                genes[f"heads_{layer}"] = 0
        return genes

    def every(self) -> Iterator[SubModelConfig]:
        """All sub-models, for brute force on a small space."""
        options = [(0, 0)] * self.droppable + list(itertools.product(self.heads, self.ffn))
        for choice in itertools.product(options, repeat=self.shape.num_layers):
            kept = [layer for layer, (heads, _) in enumerate(choice) if heads]
            if len(kept) >= self.min_depth:
                yield SubModelConfig(kept, [choice[k][0] for k in kept], [choice[k][1] for k in kept])


def uneven_space(shape: ModelShape, min_width: float, min_depth: float, steps: int = 12) -> UnevenSpace:
    """Heads one by one, FFN neurons in `steps` equal steps, both from the share `min_width` on."""
    heads = tuple(range(scaled(shape.num_heads, min_width), shape.num_heads + 1))
    neurons = {scaled(shape.ffn_size, k / steps) for k in range(1, steps + 1)}
    fewest = scaled(shape.ffn_size, min_width)
    ffn = {fewest, *(n for n in neurons if n >= fewest), shape.ffn_size}
    return UnevenSpace(shape, heads, tuple(ffn), scaled(shape.num_layers, min_depth))


def _nearest(values: Sequence[int], wanted: int) -> int:
    return min(range(len(values)), key=lambda i: (abs(values[i] - wanted), i))


@dataclass(frozen=True)
class Point:
    """A sub-model that was evaluated: the value and the cost that are searched, its score and all its costs by name."""

    sub_model: SubModelConfig
    value: float
    cost: float
    score: float
    costs: Mapping[str, float] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in value without costing more; cheapest first, values ascending.

    Of points with the same value and cost the first one stays.
    """
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost, -p.value)):  # stable: the first of equals stays first
        if not front or point.value > front[-1].value:
            front.append(point)
    return front


@dataclass(frozen=True)
class Budget:
    """Limits on costs by name ("latency_ms", "parameters", "flops"), and the lowest score that will do."""

    limits: Mapping[str, float] = field(default_factory=dict)
    min_score: Optional[float] = None

    def violations(self, costs: Mapping[str, float], score: float) -> tuple[float, ...]:
        """One number per limit, above 0 when it is broken: by which share, or by how much score."""
        found = [costs[name] / most - 1.0 for name, most in self.limits.items()]
        if self.min_score is not None:
            found.append(self.min_score - score)
        return tuple(found)

    def admits(self, costs: Mapping[str, float], score: float) -> bool:
        return all(violation <= 0 for violation in self.violations(costs, score))


def choose(points: Sequence[Point], budget: Budget) -> Point:
    """The best point within the budget: the cheapest when a score was asked for, otherwise the highest value."""
    within = [point for point in points if budget.admits(point.costs, point.score)]
    if not within:
        raise RunError(_nothing_fits(points, budget))
    if budget.min_score is not None:
        return min(within, key=lambda point: (point.cost, -point.value))
    return max(within, key=lambda point: (point.value, -point.cost))


def _nothing_fits(points: Sequence[Point], budget: Budget) -> str:
    lows = {name: min(point.costs[name] for point in points) for name in budget.limits}
    parts = [f"--max_{name} {most:g}: the smallest found has {lows[name]:g}" for name, most in budget.limits.items()]
    if budget.min_score is not None:
        parts.append(f"--min_score {budget.min_score:g}: the best found has {max(p.score for p in points):.4f}")
    return "no sub-model keeps within " + "; ".join(parts) + ". Give more room, or --min_width and --min_depth less"


def hypervolume(front: Sequence[Point], worst_value: float, worst_cost: float) -> float:
    """The area that a front dominates, down to the worst corner: larger is better (for comparing two fronts)."""
    area, last = 0.0, worst_value
    for point in pareto_front([p for p in front if p.cost <= worst_cost and p.value >= worst_value]):
        area += (point.value - last) * (worst_cost - point.cost)
        last = point.value
    return area


# What making one layer smaller was measured to hurt: hurts[layer][(heads, ffn)]; hurts[layer][None] is for dropping it.
Hurts = Sequence[Mapping[Optional["tuple[int, int]"], float]]


def additive_front(space: UnevenSpace, hurts: Hurts, cost: Cost, count: int = 60) -> list[SubModelConfig]:
    """The sub-models on the convex front when hurts and costs of layers add up, dearest first, each once.

    For every price a cost unit can have, each layer takes the option with the smallest hurt + price * cost; that is the
    exact optimum of the sum (Lagrange). Prices are spread over all that change the answer.
    """
    options, prices = [], []
    for layer in range(space.shape.num_layers):
        priced = [(option, hurt, _layer_cost(space, cost, option)) for option, hurt in hurts[layer].items()]
        dearest = max(priced, key=lambda o: o[2])
        # The price at which an option is worth as much as the dearest one.
        prices += [(o[1] - dearest[1]) / (dearest[2] - o[2]) for o in priced if o[1] > dearest[1] and o[2] < dearest[2]]
        options.append(priced)
    low, high = (min(prices) / 4, max(prices) * 4) if prices else (1.0, 1.0)
    found: dict[SubModelConfig, None] = {}
    for step in range(count):
        price = low * (high / low) ** (step / max(1, count - 1))
        chosen = [min(priced, key=lambda o: (o[1] + price * o[2], o[2]))[0] for priced in options]
        kept = [layer for layer, option in enumerate(chosen) if option is not None]
        if len(kept) >= space.min_depth:
            found[SubModelConfig(kept, [chosen[k][0] for k in kept], [chosen[k][1] for k in kept])] = None
    return list(found)


def _layer_cost(space: UnevenSpace, cost: Cost, option: Optional[tuple[int, int]]) -> float:
    """What one layer of these heads and neurons adds to the cost."""
    if option is None:
        return 0.0
    heads, ffn = space.heads[0], space.ffn[0]
    if space.shape.num_layers == 1:
        return cost(SubModelConfig((0,), option[:1], option[1:]))
    return cost(SubModelConfig((0, 1), (heads, option[0]), (ffn, option[1]))) - cost(
        SubModelConfig((0,), (heads,), (ffn,))
    )


def vary(
    space: UnevenSpace, parents: Sequence[Mapping[str, int]], rng: random.Random, crossover: float = 0.7
) -> dict[str, int]:
    """A child's genes: two parents mixed layer by layer, then one to three small changes.

    A change moves one gene by a step or two, moves a step from one layer to another (which hardly changes the cost), or
    drops or restores a layer.
    """
    first, second = rng.choice(parents), rng.choice(parents)
    child = dict(first)
    if rng.random() < crossover:
        for layer in range(space.shape.num_layers):
            if rng.random() < 0.5:
                for name in (f"heads_{layer}", f"ffn_{layer}"):
                    child[name] = second[name]
    ranges = space.ranges()
    for _ in range(rng.randint(1, 3)):
        kind = rng.choice(("step", "step", "move", "move", "layer"))
        if kind == "layer" and space.droppable:
            name = f"heads_{rng.randrange(space.shape.num_layers)}"
            child[name] = 0 if child[name] else rng.randint(1, len(space.heads))
            continue
        part, size = rng.choice(("heads", "ffn")), rng.randint(1, 2)
        kept = [layer for layer in range(space.shape.num_layers) if child[f"heads_{layer}"]]
        layers = rng.sample(kept, min(len(kept), 2 if kind == "move" else 1))
        signs = (1, -1) if kind == "move" else (rng.choice((1, -1)),)
        for layer, sign in zip(layers, signs):
            name = f"{part}_{layer}"
            low, high = max(ranges[name][0], 1 if part == "heads" else 0), ranges[name][1]
            child[name] = min(high, max(low, child[name] + sign * size))
    return child
