"""Thresholds from never to always: what each would score and save, and which one to take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from ofa_bert.errors import UserError
from ofa_bert.exits.outputs import Outputs
from ofa_bert.exits.policy import Policy, first_exits, saving
from ofa_bert.exits.promise import promised
from ofa_bert.numerics import Array, Floats, Ints
from ofa_bert.tasks.kinds.registry import DEFAULT
from ofa_bert.tasks.metrics import compute, main_score
from ofa_bert.tasks.task import Task

# What was measured at a threshold: `score`, `mean_layers`, `speedup`; `ms` by batch size; the task's metrics; `low` and
# `high`, between which the score may really lie.
Row: TypeAlias = Mapping[str, Any]

_WORTH = 0.01  # of the samples; a head costs about so much of a layer's time, more when batches are small


def policies(criterion: str, tolerance: float, outputs: Outputs, count: int, kind: str = DEFAULT.name) -> list[Policy]:
    """About `count` policies from no early exit on, spread evenly over the layers that they save on these outputs."""
    never = Policy.never_leaves(len(outputs.layers) - 1, criterion, tolerance, kind)
    found = never.seen(outputs.logits[:-1], outputs.certainty)
    candidates = [replace(never, threshold=value) for value in found]
    if never.rule.counts:
        return [never, *candidates]
    means = [_mean_layers(policy, outputs) for policy in candidates]
    chosen = [never]
    for wanted in np.linspace(outputs.layers[-1], min(means, default=0), count)[1:]:
        nearest = candidates[int(np.argmin(np.abs(np.asarray(means) - wanted)))] if candidates else never
        if nearest.threshold > chosen[-1].threshold:
            chosen.append(nearest)
    return chosen


def _mean_layers(policy: Policy, outputs: Outputs) -> float:
    places = first_exits(policy, outputs.logits, outputs.certainty)
    return float(np.asarray(outputs.layers)[places].mean())


def worth_asking(policy: Policy, outputs: Outputs) -> tuple[int, ...]:
    """The places of exits that enough samples leave at to pay for asking all who pass; whoever else left goes on.

    A criterion that counts exits asks all of them.
    """
    exits = len(outputs.layers) - 1
    if policy.rule.counts:
        return () if policy.never(exits) else tuple(range(exits))
    left = np.bincount(first_exits(policy, outputs.logits, outputs.certainty), minlength=exits + 1)
    return tuple(np.flatnonzero(left[:-1] >= _WORTH * left.sum()).tolist())


def taken(policy: Policy, outputs: Outputs, ask: Sequence[int]) -> Ints:
    """The place [N] of the exit that answers each sample when only those of `ask` are asked before the last."""
    asked = np.asarray([*ask, len(outputs.layers) - 1])
    return np.asarray(asked[first_exits(policy, outputs.logits[asked], outputs.certainty[asked[:-1]])])


def answers_at(outputs: Outputs, places: Ints) -> Floats:
    """Logits [N, C] of each sample's exit."""
    return np.asarray(outputs.logits[places, np.arange(len(places))])


def row(task: Task, outputs: Outputs, places: Ints, labels: Array) -> dict[str, object]:
    """Scores, mean layers, saving and histogram of samples that are answered at those exits."""
    layers = np.asarray(outputs.layers)[places]
    metrics = compute(task, answers_at(outputs, places), labels)
    return {"score": main_score(task, metrics), **metrics, **run_length(layers, outputs.layers)}


def run_length(layers: Ints, possible: Sequence[int]) -> dict[str, object]:
    """Mean layers, share of layers saved, and layers run -> samples, for each sample's layers [N]."""
    return {
        "mean_layers": float(layers.mean()),
        "saving": saving(layers, possible[-1]),
        "histogram": {int(count): int((layers == count).sum()) for count in possible},
    }


def choose(
    rows: Sequence[Row], target_drop: float | None, target_speedup: float | None, bounds: Sequence[float] | None = None
) -> int:
    """The row to take. Rows have `score` and `speedup`; the first is without early exits.

    With a drop, the fastest of those that score at least so near the first; with a speed-up, the best of those that are
    so fast; with both, the fastest that satisfies both. UserError when no row does.
    bounds: the drop that each row promises, which then counts in place of the measured one: rows are asked from the
    most careful on until one fails.
    """
    near = range(len(rows)) if target_drop is None else _near(rows, target_drop, bounds)
    able = [i for i in near if target_speedup is None or rows[i]["speedup"] >= target_speedup]
    if not able:
        drop = "" if target_drop is None else f" within {target_drop:g} of {rows[0]['score']:.4f}"
        fastest = max(rows[i]["speedup"] for i in near)
        raise UserError(
            f"`target_speedup` {target_speedup:g}: the fastest threshold{drop} is {fastest:.2f} times as fast as no"
            " early exits on the held-out part; ask for less, or allow a larger `target_drop`"
        )
    if target_drop is None:
        return max(able, key=lambda i: (rows[i]["score"], rows[i]["speedup"]))
    return max(able, key=lambda i: rows[i]["speedup"])


def _near(rows: Sequence[Row], drop: float, bounds: Sequence[float] | None) -> list[int]:
    """The rows that lose so little; the first, which is without early exits, loses nothing."""
    if bounds is None:
        return [i for i, item in enumerate(rows) if item["score"] >= rows[0]["score"] - drop - 1e-9]
    asked = sorted(range(1, len(rows)), key=lambda i: -rows[i]["mean_layers"])
    return [0, *asked[: promised([bounds[i] for i in asked], drop)]]
