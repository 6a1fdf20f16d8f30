"""A smaller model out of a larger one, with the same number of heads and FFN neurons in every layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from paddle import nn

from ofa_bert.files.atomic import file_sha256
from ofa_bert.models.encoder import shape_of
from ofa_bert.models.pretrained import locate
from ofa_bert.models.record import ModelRecord, best_of
from ofa_bert.models.supernet import extract, whole
from ofa_bert.submodels.values import ModelShape, SubModelConfig
from ofa_bert.training.supernet.importance import Importance, reorder


class Cut(TypedDict):
    """What a model that was cut out is, as its record says it."""

    kind: str
    shape: ModelShape
    sub_model: SubModelConfig


def cut(
    model: nn.Layer,
    record: ModelRecord,
    importance: Importance,
    heads: int,
    neurons: int,
    layers: Sequence[int] | None = None,
) -> tuple[nn.Layer, Cut]:
    """(new model, what it is: kind, shape and sub_model of its record).

    The model may be a sub-model itself; it is sorted in place by `importance`, which leaves its outputs as they are.
    layers: those that are kept; default: all.
    """
    full = whole(model)
    kept = full.layers if layers is None else tuple(layers)
    reorder(model, importance)
    small = extract(model, SubModelConfig(kept, (heads,) * len(kept), (neurons,) * len(kept)))
    before = full.layers if record.sub_model is None else record.sub_model.layers
    sub_model = SubModelConfig(tuple(before[i] for i in kept), (heads,) * len(kept), (neurons,) * len(kept))
    shape = record.shape if record.is_sub_model and record.shape is not None else shape_of(model)
    return small, {"kind": "sub_model", "shape": shape, "sub_model": sub_model}


def fingerprint(name_or_path: str, model_type: str) -> str:
    """Tells whether a run is resumed with the weights that it was begun with; "" for a model known by name only."""
    where = best_of(name_or_path)
    if not Path(where).is_dir():
        return ""
    return file_sha256(locate(where, model_type).weights)[:16]
