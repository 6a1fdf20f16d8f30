"""A device's latency table: what a layer of so many heads and FFN neurons costs there, and any sub-model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ofa_bert.errors import UserError
from ofa_bert.files.atomic import read_json, write_json_atomic
from ofa_bert.submodels.values import ModelShape, SubModelConfig

FORMAT = 1


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
    def load(cls, path: str | Path) -> LatencyTable:
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


def weights_beyond(shape: ModelShape, model: SubModelConfig, shares: Sequence[float]) -> np.ndarray:
    """By how much the weights [depth] of 1, 2, ... layers exceed each of these shares of the full encoder's."""
    hidden = shape.hidden_size
    full = shape.num_layers * (4 * shape.num_heads * shape.head_dim + 2 * shape.ffn_size) * hidden
    own = (4 * np.asarray(model.heads) * shape.head_dim + 2 * np.asarray(model.ffn)) * hidden
    return np.maximum(0.0, np.cumsum(own)[:, None] / full - np.asarray(shares).reshape(1, -1))
