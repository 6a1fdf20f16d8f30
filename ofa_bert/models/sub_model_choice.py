"""Which sub-model of a supernet is meant."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ofa_bert.errors import UserError
from ofa_bert.files.reading import read_json
from ofa_bert.models.record import ModelRecord
from ofa_bert.options import option
from ofa_bert.submodels.grid import SearchSpace, multipliers
from ofa_bert.submodels.values import MULTIPLIER, ModelShape, SubModelConfig, even_layers, uniform

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SubModelChoice:
    """Two multipliers, or a file."""

    width_mult: float = option(
        "share of heads and FFN neurons to keep: 2/3, 0.67, or a sub-model's name in a table, w0.6667_d1",
        1.0, above=0, most=1, example=MULTIPLIER, spells=multipliers,
    )  # fmt: skip
    depth_mult: float = option("share of layers to keep", 1.0, above=0, most=1, example=MULTIPLIER)
    sub_model: str | None = option(
        "JSON file with a SubModelConfig (uneven layers), instead of the two multipliers", None
    )
    allow_untrained: bool = option("take a width or depth that the supernet was not trained for", False)

    def problems(self) -> list[str]:
        if self.sub_model and (self.width_mult != 1.0 or self.depth_mult != 1.0):
            return ["`sub_model` and `width_mult`/`depth_mult` exclude each other"]
        return []

    @property
    def is_whole(self) -> bool:
        """Whether nothing was chosen."""
        return self.sub_model is None and self.width_mult == self.depth_mult == 1

    def of(self, where: str, record: ModelRecord, shape: ModelShape, say: bool = True) -> SubModelConfig:
        """The sub-model of the model at `where`; UserError when the supernet was not trained for it.

        say: log what is not quite what was asked for.
        """
        if record.sub_model is not None:
            if not self.is_whole:
                raise UserError(
                    f"{where}: is a sub-model already; leave out `width_mult`, `depth_mult` and `sub_model`, or start"
                    " from the supernet"
                )
            return record.sub_model
        if self.sub_model:
            return _from_file(self.sub_model, record, shape, say)
        space = record.space or SearchSpace(shape, (1.0,))
        if not self.allow_untrained:
            try:
                found = space.trained(self.width_mult, self.depth_mult)
                if say and found != (self.width_mult, self.depth_mult):
                    asked = (self.width_mult, self.depth_mult)
                    logger.info("width %g, depth %g stand for the trained %.6g, %.6g", *asked, *found)
                return space.sub_model(*found)
            except UserError as error:
                raise UserError(f"{error}. `allow_untrained` takes it all the same") from error
        if say:
            logger.warning("width %s, depth %s may be untrained", self.width_mult, self.depth_mult)
        if self.depth_mult in space.depth_mults:
            return uniform(shape, self.width_mult, space.kept_layers[space.depth_mults.index(self.depth_mult)])
        return uniform(shape, self.width_mult, even_layers(shape.num_layers, self.depth_mult))


def _from_file(path: str, record: ModelRecord, shape: ModelShape, say: bool) -> SubModelConfig:
    try:
        sub_model = SubModelConfig.from_json(read_json(path))
        sub_model.check_fits(shape)
    except UserError as error:
        raise UserError(f"`sub_model` {path}: {error}") from error
    if say and trained_name(record, sub_model) is None:
        logger.warning("%s: is none of the sub-models that were trained; check its score before you deploy it", path)
    return sub_model


def trained_name(record: ModelRecord, sub_model: SubModelConfig) -> str | None:
    """What the supernet's results call this sub-model; None when it was not trained as such."""
    if record.space is None:
        return None
    return {value: key for key, value in record.space.sub_models().items()}.get(sub_model)
