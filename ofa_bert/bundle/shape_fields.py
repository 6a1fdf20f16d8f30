"""A full model's shape, read field by field."""

from __future__ import annotations

import dataclasses

from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields
from ofa_bert.reporting import shown
from ofa_bert.submodels.values import ModelShape

MOST = (1 << 31) - 1  # of any size, number or position
_MAY_BE_0 = ("num_labels", "type_vocab_size")


def shape_of(fields: Fields) -> ModelShape:
    """UserError for a size that is missing, out of range or of no known name."""
    sizes = {}
    for field in dataclasses.fields(ModelShape):
        optional = field.default is not dataclasses.MISSING
        least = 0 if optional or field.name in _MAY_BE_0 else 1
        sizes[field.name] = fields.whole(field.name, least, MOST, **({"default": field.default} if optional else {}))
    unknown = sorted(set(fields.value) - set(sizes))
    if unknown:
        raise UserError(f"{fields.where}: has {shown(unknown[0])}, a shape has {', '.join(sizes)}; {fields.cure}")
    return ModelShape(**sizes)
