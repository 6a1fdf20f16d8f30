"""What a record says of an encoder that was trained in several depths before any task. Imports no Paddle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ofa_bert.files.fields import Fields
from ofa_bert.submodels.layer_sets import Layers


@dataclass(frozen=True, kw_only=True)
class ElasticRecord:
    """Which layers its shallower sub-models keep, and what they were trained on.

    by: the rule that chose the layers. depths: share of the layers -> those kept. sha256, texts: of the corpus. steps:
    of what a later training started from; None in the encoder's own directory, whose record says its step.
    """

    by: str
    num_layers: int
    depths: Mapping[float, Layers]
    sha256: str
    texts: int
    steps: int | None = None

    def layers(self, keep: int) -> Layers | None:
        """Those of the depth that keeps so many; None where no such depth was trained."""
        return next((layers for layers in self.depths.values() if len(layers) == keep), None)

    def to_json(self) -> dict[str, object]:
        return {
            "by": self.by,
            "num_layers": self.num_layers,
            "depths": [{"depth_mult": depth, "layers": list(layers)} for depth, layers in self.depths.items()],
            "corpus": {"sha256": self.sha256, "texts": self.texts},
            **({} if self.steps is None else {"steps": self.steps}),
        }

    @classmethod
    def of(cls, fields: Fields) -> ElasticRecord:
        """Inverse of `to_json`; UserError, with the place, for anything else."""
        count, depths = fields.whole("num_layers", least=1), {}
        for depth in fields.each("depths"):
            layers = depth.wholes("layers", least=0)
            if not layers or list(layers) != sorted(set(layers)) or layers[-1] >= count:
                depth.wrong("layers", f"one layer or more of the {count}, ascending from 0")
            depths[depth.number("depth_mult", 0, 1)] = layers
        corpus = fields.inner("corpus")
        return cls(
            by=fields.text("by"),
            num_layers=count,
            depths=depths,
            sha256=corpus.text("sha256"),
            texts=corpus.whole("texts", least=0),
            steps=fields.whole("steps", least=0, default=None),
        )
