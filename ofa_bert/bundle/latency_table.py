"""A device's latency table: what a layer of so many heads and FFN neurons costs there, and any sub-model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ofa_bert.errors import UserError
from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.files.reading import read_json
from ofa_bert.reporting import shown
from ofa_bert.submodels.values import ModelShape, SubModelConfig

FORMAT = 1
_MOST_MS = 1e9  # eleven days


@dataclass(frozen=True)
class ExitCost:
    """What early exits cost beside layers: `call_ms` for every part that is run, `head_ms` for every exit asked."""

    head: str  # the kind of head, as layout.HEADS names it
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
    exits: ExitCost | None = None  # None: measured for a model without exits
    outgrown: Mapping[float, float] = field(default_factory=dict)  # share of the weights -> ms per share beyond it

    def predict(self, sub_model: SubModelConfig) -> float:
        """Milliseconds of one call."""
        return float(self.after_layers(sub_model)[-1])

    def after_layers(self, sub_model: SubModelConfig) -> np.ndarray:
        """Milliseconds [depth] of a call that ends after 1, 2, ... of the sub-model's layers."""
        sub_model.check_fits(self.shape)
        heads = np.interp(sub_model.heads, list(self.heads), list(self.heads.values()))
        ffn = np.interp(sub_model.ffn, list(self.ffn), list(self.ffn.values()))
        beyond = weights_beyond(self.shape, sub_model, tuple(self.outgrown))  # [depth, shares]
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
    def from_json(cls, value: Mapping[str, Any]) -> LatencyTable:
        tables = [_costs(value[name], _count) for name in ("heads_ms", "ffn_ms")]
        if not all(tables):
            raise ValueError("no heads or no neurons were measured")
        shape = ModelShape.from_json({name: _count(size) for name, size in value["shape"].items()})
        base, layer = _ms(value["base_ms"]), _ms(value["layer_ms"])
        exits = value.get("exits")
        if exits:
            numbers = {name: _ms(number) for name, number in exits.items() if name != "head"}
            exits = ExitCost(head=str(exits["head"]), **numbers)
        outgrown = _costs(value.get("outgrown_ms", {}), _ms)
        measured = tuple(dict(row) for row in value["measured"])
        setting, error = ({**value[name]} for name in ("setting", "error"))
        return cls(shape, base, layer, *tables, setting, error, measured, exits or None, outgrown)

    def save(self, path: str | Path) -> None:
        write_json_atomic(path, self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> LatencyTable:
        """UserError when the file is no latency table."""
        value = read_json(path)  # the error of a table from one model is NaN
        try:
            if value["format"] != FORMAT:
                raise UserError(f"{path}: latency table of format {shown(value['format'])}; measure it again")
            return cls.from_json(value)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            reason = f"{type(error).__name__}: {shown(str(error))}"
            raise UserError(f"{path}: is no latency table ({reason}); python -m ofa_bert latency makes one") from error

    def check_shape(self, shape: ModelShape, path: str) -> None:
        """UserError when the table was measured for models of other sizes."""
        own, wanted = self.shape.to_json(), shape.to_json()
        names = ("num_layers", "hidden_size", "num_heads", "head_dim", "ffn_size")
        other = [f"{name} {own[name]}, not {wanted[name]}" for name in names if own[name] != wanted[name]]
        if other:
            raise UserError(f"{path}: was measured for a model with {'; '.join(other)}; measure one for this model")


def _costs(value: Mapping[str, Any], key: Any) -> dict[Any, float]:
    """What JSON keeps as {"12": ms}, in the order of its numbers."""
    return dict(sorted((key(_number(name)), _ms(ms)) for name, ms in value.items()))


def _number(text: str) -> int | float:
    return float(text) if "." in text or "e" in text else int(text)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 31:
        raise ValueError(f"{shown(value)} is no number of heads, neurons or layers")
    return value


def _ms(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or abs(value) > _MOST_MS:
        raise ValueError(f"{shown(value)} is no number of milliseconds")
    return float(value)


def weights_beyond(shape: ModelShape, model: SubModelConfig, shares: Sequence[float]) -> np.ndarray:
    """By how much the weights [depth] of 1, 2, ... layers exceed each of these shares of the full encoder's."""
    hidden = shape.hidden_size
    full = shape.num_layers * (4 * shape.num_heads * shape.head_dim + 2 * shape.ffn_size) * hidden
    own = (4 * np.asarray(model.heads) * shape.head_dim + 2 * np.asarray(model.ffn)) * hidden
    return np.maximum(0.0, np.cumsum(own)[:, None] / full - np.asarray(shares).reshape(1, -1))
