"""A latency table fitted to measurements."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ofa_bert.bundle.latency_table import ExitCost, LatencyTable, weights_beyond
from ofa_bert.submodels.values import ModelShape, SubModelConfig, scaled, uniform

KNOTS = 4
OUTGROWN = (0.25, 0.5)  # shares of the full encoder's weights, beyond which more of them may cost more
LAST = tuple((np.arange(21) / 20).tolist())  # what the last layer may cost, as a share of any other


class ExitRun(NamedTuple):
    """A measured call of a sub-model with exits after `layers`: places `ask` were asked, and it ended at the last."""

    sub_model: SubModelConfig
    layers: Sequence[int]
    ask: Sequence[int]
    ms: float

    def predicted(self, table: LatencyTable) -> float:
        early = [place for place in self.ask if place < len(self.layers) - 1]
        return float(table.after_exits(self.sub_model, self.layers, early)[self.ask[-1]])


def with_exits(table: LatencyTable, head: str, runs: Sequence[ExitRun], check: Sequence[ExitRun]) -> LatencyTable:
    """The table with the exit costs that fit `runs` best: least squares of relative errors, no negative costs."""
    from scipy.optimize import nnls

    none, unit_call, unit_head = (
        replace(table, exits=ExitCost(head, *costs)) for costs in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
    )
    rest = np.asarray([run.predicted(none) for run in runs])
    counts = np.asarray([[run.predicted(unit) for unit in (unit_call, unit_head)] for run in runs]) - rest[:, None]
    ms = np.asarray([run.ms for run in runs])
    (call_ms, head_ms), _ = nnls(counts / ms[:, None], (ms - rest) / ms)
    costs = ExitCost(head, float(call_ms), float(head_ms))
    found = replace(table, exits=costs)
    errors = [abs(run.predicted(found) / run.ms - 1.0) for run in check]
    return replace(found, exits=replace(costs, median_error=float(np.median(errors))))


def _knots(most: int, least: int) -> tuple[int, ...]:
    return tuple(sorted({round(value) for value in np.linspace(least, most, KNOTS)}))


def fit(shape: ModelShape, models: Sequence[SubModelConfig], ms: Sequence[float], min_width: float) -> LatencyTable:
    """The table that fits these measurements best: least squares of relative errors, no negative costs."""
    # Imported where it is used: SciPy takes a second, and a search only predicts.
    from scipy.optimize import nnls

    knots = [_knots(most, scaled(most, min_width)) for most in (shape.num_heads, shape.ffn_size)]
    measured = np.asarray(ms, dtype=np.float64)[:, None]
    beyond = [weights_beyond(shape, model, OUTGROWN)[-1] for model in models]
    found = []
    for last in LAST:
        rows = np.asarray([[*_features(model, knots, last), *more] for model, more in zip(models, beyond)])
        solution, error = nnls(rows / measured, np.ones(len(ms)))
        found.append((float(error), -last, solution))
    _, negative, solution = min(found, key=lambda one: one[:2])  # of equals the larger share
    base, layer, *slopes = solution
    first = len(knots[0]) - 1 or 1
    slopes, spilled = slopes[: -len(OUTGROWN)], slopes[-len(OUTGROWN) :]
    heads, ffn = _costs(knots[0], slopes[:first]), _costs(knots[1], slopes[first:])
    outgrown = {share: float(cost) for share, cost in zip(OUTGROWN, spilled)}
    return LatencyTable(shape, float(base), float(layer), heads, ffn, outgrown=outgrown, last=-negative)


def _features(model: SubModelConfig, knots: Sequence[tuple[int, ...]], last: float) -> list[float]:
    """How often each unknown counts: base, layer constant, then the slope of every piece for heads and for neurons.

    The last layer counts `last` times.
    """
    times = [1.0] * (model.depth - 1) + [last]
    row = [1.0, sum(times)]
    for counts, marks in zip((model.heads, model.ffn), knots):
        for low, high in _pieces(marks):
            row.append(float(sum(n * min(max(count - low, 0), high - low) for n, count in zip(times, counts))))
    return row


def _pieces(marks: Sequence[int]) -> list[tuple[int, int]]:
    """The pieces between knots. The first one goes down to 0, so that narrower layers are extrapolated."""
    ends = list(marks[1:]) or list(marks)
    return list(zip([0, *ends[:-1]], ends))


def _costs(marks: Sequence[int], slopes: Sequence[float]) -> dict[int, float]:
    """Milliseconds at 0 and at the end of every piece."""
    found, total = {0: 0.0}, 0.0
    for (low, high), slope in zip(_pieces(marks), slopes):
        total += float(slope) * (high - low)
        found[high] = total
    return found


def design(shape: ModelShape, min_width: float, count: int, seed: int = 0) -> list[SubModelConfig]:
    """The models to measure: the corners of the space, then `count` uneven ones drawn by chance, each once."""
    least = [scaled(most, min_width) for most in (shape.num_heads, shape.ffn_size)]
    most = [shape.num_heads, shape.ffn_size]
    deep, half = shape.num_layers, max(1, shape.num_layers // 2)
    corners = [
        (deep, *most),
        (deep, *least),
        (1, *most),
        (1, *least),
        (half, most[0], least[1]),
        (half, least[0], most[1]),
    ]
    found = {SubModelConfig(tuple(range(d)), (h,) * d, (f,) * d): None for d, h, f in corners}
    return [*found, *drawn(shape, min_width, count, seed, set(found))]


def drawn(
    shape: ModelShape, min_width: float, count: int, seed: int, taken: Set[SubModelConfig]
) -> list[SubModelConfig]:
    """`count` uneven sub-models that are not in `taken`, every depth as likely as the others."""
    rng = random.Random(seed)
    found: dict[SubModelConfig, None] = {}
    least = [scaled(most, min_width) for most in (shape.num_heads, shape.ffn_size)]
    for _ in range(100 * count):
        depth = rng.randint(max(1, shape.num_layers // 4), shape.num_layers)
        heads = tuple(rng.randint(least[0], shape.num_heads) for _ in range(depth))
        ffn = [rng.randint(least[1], shape.ffn_size) for _ in range(depth)]
        rounded = tuple(max(1, n // 32 * 32) if n >= 64 else n for n in ffn)
        model = SubModelConfig(tuple(range(depth)), heads, rounded)
        if model not in taken and len(found) < count:
            found[model] = None
    return list(found)


def held_out(
    shape: ModelShape, min_width: float, count: int, seed: int, taken: Sequence[SubModelConfig]
) -> list[SubModelConfig]:
    """Sub-models that the table was not fitted to, uniform ones and uneven ones."""
    widths = [w for w in (5 / 6, 2 / 3, 1 / 2) if w >= min_width]
    even = [
        uniform(shape, width, range(depth))
        for width in widths
        for depth in {shape.num_layers, max(1, shape.num_layers // 2)}
    ]
    even = [model for model in even if model not in taken][: count // 2]
    return even + drawn(shape, min_width, count - len(even), seed + 1, {*taken, *even})


def assess(table: LatencyTable, models: Sequence[SubModelConfig], ms: Sequence[float]) -> dict[str, float]:
    """How far predictions are from measurements that the table was not fitted to."""
    from scipy.stats import spearmanr

    predicted = np.asarray([table.predict(model) for model in models])
    relative = predicted / np.asarray(ms) - 1.0
    ranks = spearmanr(predicted, ms)[0] if len(models) > 1 else float("nan")
    return {
        "models": len(models),
        "median_error": float(np.median(np.abs(relative))),
        "largest_error": float(np.abs(relative).max()),
        "bias": float(np.median(relative)),
        "rank_correlation": float(ranks),
    }


# Sub-models -> milliseconds of each.
Measure = Callable[[Sequence[SubModelConfig]], Sequence[float]]


def calibrate(
    shape: ModelShape,
    measure: Measure,
    min_width: float,
    setting: Mapping[str, object],
    count: int = 16,
    check: int = 10,
) -> LatencyTable:
    """Measure models, fit a table, and assess it on `check` others; all are measured in one go, in turn."""
    fitted = design(shape, min_width, count)
    others = held_out(shape, min_width, check, count, fitted)
    ms = [float(value) for value in measure([*fitted, *others])]
    table = fit(shape, fitted, ms[: len(fitted)], min_width)
    error = assess(table, others, ms[len(fitted) :])
    rows = tuple(
        {"sub_model": model.to_json(), "ms": value, "predicted_ms": table.predict(model), "held_out": model in others}
        for model, value in zip([*fitted, *others], ms)
    )
    return replace(table, setting=setting, error=error, measured=rows)
