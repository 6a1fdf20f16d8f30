"""Where a search starts."""

from __future__ import annotations

from typing import Mapping, Optional, Sequence

from ofa_bert.search.front import Cost
from ofa_bert.submodels.uneven import UnevenSpace
from ofa_bert.submodels.values import SubModelConfig

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
