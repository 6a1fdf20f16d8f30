"""A device's latency table: what a layer of so many heads and FFN neurons costs there, and any sub-model."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa_bert.bundle.shape_fields import shape_of
from ofa_bert.errors import UserError
from ofa_bert.exits.layout import HEADS
from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.files.fields import Fields
from ofa_bert.files.reading import read_json
from ofa_bert.reporting import shown
from ofa_bert.submodels.values import ModelShape, SubModelConfig

FORMAT = 1
_MOST_MS = 1e9  # eleven days
_DIGITS = re.compile("[0-9]{1,9}")
_CURE = "python -m ofa_bert latency makes one"

Milliseconds = NDArray[np.float64]


@dataclass(frozen=True)
class ExitCost:
    """What early exits cost beside layers: `call_ms` for every part that is run, `head_ms` for every exit asked."""

    head: str  # the kind of head, as exits.layout.HEADS names it
    call_ms: float
    head_ms: float
    median_error: float = 0.0  # of predictions until an exit, for runs that the costs were not fitted to


@dataclass(frozen=True)
class LatencyTable:
    """Milliseconds on one device for one batch size and length; `setting` says which, `error` how far it is off.

    `heads` maps a number of heads to what they cost in a layer beside its constant, `ffn` likewise for neurons. The
    last layer costs the share `last` of that: an ONNX model computes it for the first token alone.
    `python -m ofa_bert latency` makes one; `load` raises UserError for a file that is none.

    >>> from ofa_bert import LatencyTable, SubModelConfig
    >>> table = LatencyTable.load("cpu.json")
    >>> table.predict(SubModelConfig(layers=(0, 3), heads=(2, 1), ffn=(64, 32)))  # milliseconds
    2.75
    """

    shape: ModelShape
    base: float
    layer: float
    heads: Mapping[int, float]
    ffn: Mapping[int, float]
    setting: Mapping[str, object] = field(default_factory=dict)
    error: Mapping[str, object] = field(default_factory=dict)
    measured: Sequence[Mapping[str, object]] = ()
    exits: ExitCost | None = None  # None: measured for a model without exits
    outgrown: Mapping[float, float] = field(default_factory=dict)  # share of the weights -> ms per share beyond it
    last: float = 1.0

    def predict(self, sub_model: SubModelConfig) -> float:
        """Milliseconds of one call."""
        return float(self.after_layers(sub_model)[-1])

    def after_layers(self, sub_model: SubModelConfig) -> Milliseconds:
        """Milliseconds [depth] of a call that ends after 1, 2, ... of the sub-model's layers."""
        sub_model.check_fits(self.shape)
        heads = np.interp(sub_model.heads, list(self.heads), list(self.heads.values()))
        ffn = np.interp(sub_model.ffn, list(self.ffn), list(self.ffn.values()))
        beyond = weights_beyond(self.shape, sub_model, tuple(self.outgrown))  # [depth, shares]
        layers = self.layer + heads + ffn
        layers[-1] *= self.last
        ends: Milliseconds = self.base + np.cumsum(layers)
        return np.asarray(ends + beyond @ np.asarray([*self.outgrown.values()]), np.float64)

    def after_exits(self, sub_model: SubModelConfig, layers: Sequence[int], ask: Sequence[int]) -> Milliseconds:
        """Milliseconds [E + 1] until the exit after each of `layers` has answered; those at places `ask` are asked.

        ValueError when the table was made without exits.
        """
        if self.exits is None:
            raise ValueError("a latency table without exits")
        places = np.arange(len(layers))
        asked = np.searchsorted(np.asarray(ask), places, side="right")
        ends: Milliseconds = self.after_layers(sub_model)[np.asarray(layers) - 1]
        return np.asarray(ends + (places + 1) * self.exits.call_ms + asked * self.exits.head_ms, np.float64)

    def to_json(self) -> dict[str, object]:
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
            "last_layer": self.last,
        }

    @classmethod
    def from_json(cls, value: object, where: str = "the latency table") -> LatencyTable:
        """The table of what `to_json` gave; UserError, which begins with `where`, for any fault."""
        fields = Fields(value, where, _CURE)
        if fields.whole("format") != FORMAT:
            raise UserError(f"{where}: latency table of format {shown(fields.value['format'])}; measure it again")
        shape = shape_of(fields.inner("shape"))
        most = {"heads_ms": shape.num_heads, "ffn_ms": shape.ffn_size}
        heads, ffn = ({count: ms for count, ms in _counts(fields, name, most[name])} for name in most)
        exits = None
        if "exits" in fields:
            costs = fields.inner("exits")
            error = costs.number("median_error", 0, default=0.0)
            exits = ExitCost(costs.text("head", HEADS), _ms(costs, "call_ms"), _ms(costs, "head_ms"), error)
        return cls(
            shape,
            _ms(fields, "base_ms"),
            _ms(fields, "layer_ms"),
            heads,
            ffn,
            dict(fields.mapping("setting")),
            dict(fields.mapping("error")),
            tuple(dict(row.value) for row in fields.each("measured")),
            exits,
            dict(_shares(fields)) if "outgrown_ms" in fields else {},
            fields.number("last_layer", 0, 1, default=1.0),
        )

    def save(self, path: str | Path) -> None:
        write_json_atomic(path, self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> LatencyTable:
        """UserError when the file is no latency table."""
        return cls.from_json(read_json(path), str(path))  # not finite: the error of a table from one model is NaN

    def check_shape(self, shape: ModelShape, path: str) -> None:
        """UserError when the table was measured for models of other sizes."""
        own, wanted = self.shape.to_json(), shape.to_json()
        names = ("num_layers", "hidden_size", "num_heads", "head_dim", "ffn_size")
        other = [f"{name} {own[name]}, not {wanted[name]}" for name in names if own[name] != wanted[name]]
        if other:
            raise UserError(f"{path}: was measured for a model with {'; '.join(other)}; measure one for this model")


def _ms(fields: Fields, name: str) -> float:
    return fields.number(name, -_MOST_MS, _MOST_MS)


def _counts(fields: Fields, name: str, most: int) -> list[tuple[int, float]]:
    """What JSON keeps as {"12": ms}, in the order of its numbers."""
    table = fields.inner(name)
    if not table.value:
        fields.wrong(name, "milliseconds for one number or more")
    for text in table.value:
        if not _DIGITS.fullmatch(text) or int(text) > most:
            raise UserError(f"{table.where}: has {shown(text)}, must be a number from 0 to {most}; {_CURE}")
    return sorted((int(text), _ms(table, text)) for text in table.value)


def _shares(fields: Fields) -> list[tuple[float, float]]:
    """Milliseconds by a share of the weights, ascending."""
    table = fields.inner("outgrown_ms")
    found = []
    for text in table.value:
        try:
            share = float(text)
        except ValueError:
            share = math.nan
        if not 0 <= share <= 1:
            raise UserError(f"{table.where}: has {shown(text)}, must be a share from 0 to 1; {_CURE}")
        found.append((share, _ms(table, text)))
    return sorted(found)


def weights_beyond(shape: ModelShape, model: SubModelConfig, shares: Sequence[float]) -> NDArray[np.float64]:
    """By how much the weights [depth] of 1, 2, ... layers exceed each of these shares of the full encoder's."""
    hidden = shape.hidden_size
    full = shape.num_layers * (4 * shape.num_heads * shape.head_dim + 2 * shape.ffn_size) * hidden
    own = (4 * np.asarray(model.heads) * shape.head_dim + 2 * np.asarray(model.ffn)) * hidden
    beyond: NDArray[np.float64] = np.maximum(0.0, np.cumsum(own)[:, None] / full - np.asarray(shares).reshape(1, -1))
    return beyond
