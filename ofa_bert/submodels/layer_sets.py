"""Which layers a shallower sub-model may keep: rules of spacing, and dropping one at a time by what that costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

from ofa_bert.submodels.values import even_layers

Layers = tuple[int, ...]  # ascending, from 0
MOST_GAP = 2  # dropped layers in a row, of a set that is said to have no gaps


def prefix_layers(count: int, keep: int) -> Layers:
    """The first ones (Sajjad et al., arXiv 2004.03844)."""
    return tuple(range(min(keep, count)))


def lower_layers(count: int, keep: int) -> Layers:
    """Evenly spaced from the first on: every second is 0, 2, 4, ... (DynaBERT)."""
    return tuple(index * count // keep for index in range(keep))


def upper_layers(count: int, keep: int) -> Layers:
    """Evenly spaced up to the last: every second is 1, 3, 5, ..."""
    return tuple((index + 1) * count // keep - 1 for index in range(keep))


# (layers that there are, layers to keep) -> those kept.
RULES: Mapping[str, Callable[[int, int], Layers]] = {
    "even": lambda count, keep: even_layers(count, keep / count),
    "lower": lower_layers,
    "upper": upper_layers,
    "prefix": prefix_layers,
}


def longest_gap(count: int, kept: Layers) -> int:
    """The most layers in a row that are dropped of `count`."""
    edges = (-1, *kept, count)
    return max(after - before - 1 for before, after in pairwise(edges))


def dropped_one_by_one(
    count: int, keep: int, cost: Callable[[Layers], float], most_gap: int | None = None
) -> dict[int, Layers]:
    """Number of layers, from `count` down to `keep` -> the layers kept: each time the one goes that costs least.

    most_gap: never drop more in a row, unless nothing else is left. Of equals the first set in order stays.
    """
    kept = tuple(range(count))
    found = {count: kept}
    while len(kept) > keep:
        rests = [tuple(other for other in kept if other != layer) for layer in kept]
        if most_gap is not None:
            least = min(longest_gap(count, rest) for rest in rests)
            rests = [rest for rest in rests if longest_gap(count, rest) <= max(most_gap, least)]
        kept = min(rests, key=lambda rest: (cost(rest), rest))
        found[len(kept)] = kept
    return found


def distinct(named: Mapping[str, Layers]) -> dict[str, Layers]:
    """The same sets once each, the names of equal ones together: "prefix, importance"."""
    names: dict[Layers, list[str]] = {}
    for name, layers in named.items():
        names.setdefault(layers, []).append(name)
    return {", ".join(each): layers for layers, each in names.items()}
