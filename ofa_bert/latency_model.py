"""A device's latency table: what a layer of so many heads and FFN neurons costs there, and so any sub-model. No Paddle.

An encoder runs one layer after another, so its latency is a sum: a base (embeddings, head, start of the call), a
constant per layer, a cost of its heads and a cost of its neurons. Both costs are linear between knots and never fall.
What outgrows a processor's caches costs more: that is a cost of the weights beyond some shares of the full encoder's.
All are fitted to whole models that were measured from end to end, so nothing is lost between blocks.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from ofa_bert.errors import UserError
from ofa_bert.files.atomic import read_json, write_json_atomic
from ofa_bert.submodels.values import ModelShape, SubModelConfig, scaled, uniform

FORMAT = 1
KNOTS = 4
OUTGROWN = (0.25, 0.5)  # shares of the full encoder's weights, beyond which more of them may cost more


@dataclass(frozen=True)
class ExitCost:
    """What early exits cost beside layers: `call_ms` for every part that is run, `head_ms` for every exit asked."""

    head: str  # the kind of head, as exits.HEADS names it
    call_ms: float
    head_ms: float
    median_error: float = 0.0  # of predictions until an exit, for runs that the costs were not fitted to


@dataclass(frozen=True)
class LatencyTable:
    """Milliseconds on one device for one batch size and length; `setting` says which, `error` how far it is off.

    `heads` maps a number of heads to what they cost in a layer beside its constant, `ffn` likewise for neurons.
    """

    shape: ModelShape
    base: float
    layer: float
    heads: Mapping[int, float]
    ffn: Mapping[int, float]
    setting: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] = field(default_factory=dict)
    measured: Sequence[Mapping[str, Any]] = ()
    exits: Optional[ExitCost] = None  # None: measured for a model without exits
    outgrown: Mapping[float, float] = field(default_factory=dict)  # share of the weights -> ms per share beyond it

    def predict(self, sub_model: SubModelConfig) -> float:
        """Milliseconds of one call."""
        return float(self.after_layers(sub_model)[-1])

    def after_layers(self, sub_model: SubModelConfig) -> np.ndarray:
        """Milliseconds [depth] of a call that ends after 1, 2, ... of the sub-model's layers."""
        sub_model.check_fits(self.shape)
        heads = np.interp(sub_model.heads, list(self.heads), list(self.heads.values()))
        ffn = np.interp(sub_model.ffn, list(self.ffn), list(self.ffn.values()))
        beyond = _beyond(self.shape, sub_model, tuple(self.outgrown))  # [depth, shares]
        return self.base + np.cumsum(self.layer + heads + ffn) + beyond @ np.asarray([*self.outgrown.values()])

    def after_exits(self, sub_model: SubModelConfig, layers: Sequence[int], ask: Sequence[int]) -> np.ndarray:
        """Milliseconds [E + 1] until the exit after each of `layers` has answered; those at places `ask` are asked.

        ValueError when the table was made without exits.
        """
        if self.exits is None:
            raise ValueError("a latency table without exits")
        places = np.arange(len(layers))
        asked = np.searchsorted(np.asarray(ask), places, side="right")
        ends = self.after_layers(sub_model)[np.asarray(layers) - 1]
        return ends + (places + 1) * self.exits.call_ms + asked * self.exits.head_ms

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "setting": dict(self.setting),
            "error": dict(self.error),
            "shape": self.shape.to_json(),
            "base_ms": self.base,
            "layer_ms": self.layer,
            "heads_ms": {str(count): ms for count, ms in self.heads.items()},
            "ffn_ms": {str(count): ms for count, ms in self.ffn.items()},
            "measured": [dict(row) for row in self.measured],
            "exits": self.exits and asdict(self.exits),
            "outgrown_ms": {str(share): ms for share, ms in self.outgrown.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "LatencyTable":
        tables = [
            {int(count): float(ms) for count, ms in sorted(value[name].items(), key=lambda item: int(item[0]))}
            for name in ("heads_ms", "ffn_ms")
        ]
        shape = ModelShape.from_json(value["shape"])
        base, layer = float(value["base_ms"]), float(value["layer_ms"])
        exits = ExitCost(**value["exits"]) if value.get("exits") else None
        outgrown = {float(share): float(ms) for share, ms in value.get("outgrown_ms", {}).items()}
        measured = tuple(value["measured"])
        return cls(shape, base, layer, *tables, value["setting"], value["error"], measured, exits, outgrown)

    def save(self, path: str | Path) -> None:
        write_json_atomic(path, self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> "LatencyTable":
        """UserError when the file is no latency table."""
        value = read_json(path)
        try:
            if value["format"] != FORMAT:
                raise UserError(f"{path}: latency table of format {value['format']}; measure it again")
            return cls.from_json(value)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{path}: is no latency table ({error!r}); python -m ofa_bert latency makes one") from error

    def check_shape(self, shape: ModelShape, path: str) -> None:
        """UserError when the table was measured for models of other sizes."""
        own, wanted = self.shape.to_json(), shape.to_json()
        names = ("num_layers", "hidden_size", "num_heads", "head_dim", "ffn_size")
        other = [f"{name} {own[name]}, not {wanted[name]}" for name in names if own[name] != wanted[name]]
        if other:
            raise UserError(f"{path}: was measured for a model with {'; '.join(other)}; measure one for this model")


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
    found = replace(table, exits=ExitCost(head, float(call_ms), float(head_ms)))
    errors = [abs(run.predicted(found) / run.ms - 1.0) for run in check]
    return replace(found, exits=replace(found.exits, median_error=float(np.median(errors))))


def _knots(most: int, least: int) -> tuple[int, ...]:
    return tuple(sorted({round(value) for value in np.linspace(least, most, KNOTS)}))


def fit(shape: ModelShape, models: Sequence[SubModelConfig], ms: Sequence[float], min_width: float) -> LatencyTable:
    """The table that fits these measurements best: least squares of relative errors, no negative costs."""
    # Imported where it is used: SciPy takes a second, and a search only predicts.
    from scipy.optimize import nnls

    knots = [_knots(most, scaled(most, min_width)) for most in (shape.num_heads, shape.ffn_size)]
    rows = np.asarray([[*_features(model, knots), *_beyond(shape, model, OUTGROWN)[-1]] for model in models])
    ms = np.asarray(ms, dtype=np.float64)
    solution, _ = nnls(rows / ms[:, None], np.ones(len(ms)))
    base, layer, *slopes = solution
    first = len(knots[0]) - 1 or 1
    slopes, spilled = slopes[: -len(OUTGROWN)], slopes[-len(OUTGROWN) :]
    heads, ffn = _costs(knots[0], slopes[:first]), _costs(knots[1], slopes[first:])
    outgrown = {share: float(ms) for share, ms in zip(OUTGROWN, spilled)}
    return LatencyTable(shape, float(base), float(layer), heads, ffn, outgrown=outgrown)


def _beyond(shape: ModelShape, model: SubModelConfig, shares: Sequence[float]) -> np.ndarray:
    """By how much the weights [depth] of 1, 2, ... layers exceed each of these shares of the full encoder's."""
    hidden = shape.hidden_size
    full = shape.num_layers * (4 * shape.num_heads * shape.head_dim + 2 * shape.ffn_size) * hidden
    own = (4 * np.asarray(model.heads) * shape.head_dim + 2 * np.asarray(model.ffn)) * hidden
    return np.maximum(0.0, np.cumsum(own)[:, None] / full - np.asarray(shares).reshape(1, -1))


def _features(model: SubModelConfig, knots: Sequence[tuple[int, ...]]) -> list[float]:
    """How often each unknown counts: base, layer constant, then the slope of every piece for heads and for neurons."""
    row = [1.0, float(model.depth)]
    for counts, marks in zip((model.heads, model.ffn), knots):
        for low, high in _pieces(marks):
            row.append(float(sum(min(max(count - low, 0), high - low) for count in counts)))
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
    found = {SubModelConfig(range(d), [h] * d, [f] * d): None for d, h, f in corners}
    return [*found, *drawn(shape, min_width, count, seed, set(found))]


def drawn(shape: ModelShape, min_width: float, count: int, seed: int, taken: set) -> list[SubModelConfig]:
    """`count` uneven sub-models that are not in `taken`, every depth as likely as the others."""
    rng, found = random.Random(seed), {}
    least = [scaled(most, min_width) for most in (shape.num_heads, shape.ffn_size)]
    for _ in range(100 * count):
        depth = rng.randint(max(1, shape.num_layers // 4), shape.num_layers)
        heads = [rng.randint(least[0], shape.num_heads) for _ in range(depth)]
        ffn = [rng.randint(least[1], shape.ffn_size) for _ in range(depth)]
        model = SubModelConfig(range(depth), heads, [max(1, n // 32 * 32) if n >= 64 else n for n in ffn])
        if model not in taken and len(found) < count:
            found[model] = None
    return list(found)


def held_out(
    shape: ModelShape, min_width: float, count: int, seed: int, taken: Sequence[SubModelConfig]
) -> list[SubModelConfig]:
    """Sub-models that the table was not fitted to, uniform ones and uneven ones."""
    taken = set(taken)
    widths = [w for w in (5 / 6, 2 / 3, 1 / 2) if w >= min_width]
    even = [
        uniform(shape, width, range(depth))
        for width in widths
        for depth in {shape.num_layers, max(1, shape.num_layers // 2)}
    ]
    even = [model for model in even if model not in taken][: count // 2]
    return even + drawn(shape, min_width, count - len(even), seed + 1, taken | set(even))


def assess(table: LatencyTable, models: Sequence[SubModelConfig], ms: Sequence[float]) -> dict[str, Any]:
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
    shape: ModelShape, measure: Measure, min_width: float, setting: Mapping[str, Any], count: int = 16, check: int = 10
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
