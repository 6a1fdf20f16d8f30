"""Where a search starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ofa_bert.errors import UserError
from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.files.reading import read_object
from ofa_bert.progress import Progress
from ofa_bert.search.costs.registry import Costs
from ofa_bert.search.front import Cost
from ofa_bert.search.setup import Supernet
from ofa_bert.submodels.uneven import UnevenSpace
from ofa_bert.submodels.values import SubModelConfig, uniform

GUESSES = "guesses.json"
PRICES = 60  # of a unit of cost, at which the additive front is asked for its optimum
BEYOND = 4  # times the largest price that changes the answer, for the ends of the front
NEAR = 0.5  # of a limit: what costs less is dominated by what comes nearer to it
# One trial in so many may go to guesses of a kind, fewer than half to both: the search has to have something to do.
SHAPED, BETWEEN = 3, 8
_GUESS_EXAMPLES = 128  # increases are sums over examples, so fewer of them do

# What making one layer smaller adds to the loss: increases[layer][(heads, ffn)]; increases[layer][None]: dropping it.
LossIncreases = Sequence[Mapping["tuple[int, int] | None", float]]


def additive_front(
    space: UnevenSpace, loss_increases: LossIncreases, cost: Cost, count: int = PRICES
) -> list[SubModelConfig]:
    """The sub-models on the convex front when the losses and costs of layers add up, dearest first, each once.

    For every price a cost unit can have, each layer takes the option with the smallest increase + price * cost; that
    is the exact optimum of the sum (Lagrange). Prices are spread over all that change the answer.
    """
    options, prices = [], []
    for layer in range(space.shape.num_layers):
        priced = [
            (option, increase, _layer_cost(space, cost, option)) for option, increase in loss_increases[layer].items()
        ]
        dearest = max(priced, key=lambda o: o[2])
        # The price at which an option is worth as much as the dearest one.
        prices += [(o[1] - dearest[1]) / (dearest[2] - o[2]) for o in priced if o[1] > dearest[1] and o[2] < dearest[2]]
        options.append(priced)
    low, high = (min(prices) / BEYOND, max(prices) * BEYOND) if prices else (1.0, 1.0)
    found: dict[SubModelConfig, None] = {}
    for step in range(count):
        price = low * (high / low) ** (step / max(1, count - 1))
        chosen = [min(priced, key=lambda o: (o[1] + price * o[2], o[2]))[0] for priced in options]
        kept = [(layer, *option) for layer, option in enumerate(chosen) if option is not None]
        if len(kept) >= space.min_depth:
            layers, heads, ffn = zip(*kept)
            found[SubModelConfig(layers, heads, ffn)] = None
    return list(found)


def _layer_cost(space: UnevenSpace, cost: Cost, option: tuple[int, int] | None) -> float:
    """What one layer of these heads and neurons adds to the cost."""
    if option is None:
        return 0.0
    heads, ffn = space.heads[0], space.ffn[0]
    if space.shape.num_layers == 1:
        return cost(SubModelConfig((0,), option[:1], option[1:]))
    return cost(SubModelConfig((0, 1), (heads, option[0]), (ffn, option[1]))) - cost(
        SubModelConfig((0,), (heads,), (ffn,))
    )


@dataclass(frozen=True)
class GuessLimits:
    """cost: the name of what is minimised. limit: on it, for sub-models in one piece. trials: of the whole search."""

    cost: str
    limit: float | None
    trials: int
    examples: int


def first_guesses(
    supernet: Supernet,
    space: UnevenSpace,
    costs: Costs,
    limits: GuessLimits,
    path: Path,
    settings: Mapping[str, object],
) -> list[SubModelConfig]:
    """Where to start: the trained sub-models, other uniform widths, and for each trained depth the additive front.

    The last is what pays: one layer at a time is made smaller, and the sub-models are taken that would be best if what
    that costs in loss added up. Written to a file with `settings`, for a resumed search and for workers.
    """
    known = known_guesses(path, settings, space)
    if known is not None:
        return known
    trained = list(supernet.space.sub_models().values())
    shape, cost, limit = space.shape, limits.cost, limits.limit
    between = [
        uniform(shape, heads / shape.num_heads, layers)
        for layers in supernet.space.kept_layers
        for heads in space.heads
    ]
    scorer = supernet.scorer(min(_GUESS_EXAMPLES, limits.examples))
    shaped: list[SubModelConfig] = []
    for depth, layers in zip(supernet.space.depth_mults, supernet.space.kept_layers):

        def shown(places: Iterable[int], depth: float = depth) -> Iterable[int]:
            return Progress(places, desc=f"loss by layer at depth {depth:.4g}", unit="layer")

        base = uniform(shape, 1.0, layers)
        loss_increases = scorer.loss_increases(base, space, len(layers) == shape.num_layers, shown)
        shaped += additive_front(space, loss_increases, lambda sub_model: costs(sub_model)[cost])
    if limit is not None:
        between = [s for s in between if costs(s)[cost] <= limit]
        shaped = [s for s in shaped if NEAR * limit <= costs(s)[cost] <= limit]
    guesses = list(
        dict.fromkeys(
            [*trained, *_spread(shaped, limits.trials // SHAPED), *_spread(between, limits.trials // BETWEEN)]
        )
    )
    write_json_atomic(path, {"settings": settings, "guesses": [guess.to_json() for guess in guesses]})
    return guesses


def known_guesses(path: Path, settings: Mapping[str, object], space: UnevenSpace) -> list[SubModelConfig] | None:
    """What a search with these settings wrote; None when there is no such file, or it is of others."""
    found = read_object(path) if path.exists() else {}
    guessed = found.get("guesses")
    if found.get("settings") != settings or not isinstance(guessed, list):
        return None
    return [_guess(value, space, f"{path}, guess {place}") for place, value in enumerate(guessed)]


def _guess(value: object, space: UnevenSpace, where: str) -> SubModelConfig:
    """UserError for what is no sub-model of this search."""
    try:
        guess = SubModelConfig.from_json(value)
        guess.check_fits(space.shape)
        if space.decode(space.encode(guess)) is None:
            raise UserError(f"a sub-model of {guess.depth} layers, fewer than {space.min_depth}")
    except UserError as error:
        raise UserError(f"{where}: {error}; remove the file, it is made anew") from error
    return guess


def _spread(items: list[SubModelConfig], most: int) -> list[SubModelConfig]:
    """At most `most` of the items, evenly spread."""
    return items[:: -(-len(items) // max(1, most)) or 1]
