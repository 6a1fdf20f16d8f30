"""The product's side of a comparison: `pretrain_elastic` as it is, and a record of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

from paddle import nn

from ofa_bert.files.weights import write_weights
from ofa_bert.models.device import select_device
from ofa_bert.models.directories import arrays_of
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.training import distributed
from ofa_bert.training.loop import Step as LoopStep
from ofa_bert.training.pretraining import elastic
from ofa_bert.training.pretraining.elastic_step import ElasticObjective, Seen, Text, elastic_step
from ofa_bert.training.supernet.step import Loss
from twin.elastic.command_line import ElasticTold
from twin.product import Recorder
from twin.record import PRODUCT, START, write_steps


class _ElasticRecorder(Recorder):
    """Takes the place of `elastic_step`."""

    def elastic_step(
        self, model: nn.Layer, teacher: nn.Layer, objective: ElasticObjective, sub_models: Sequence[SubModelConfig]
    ) -> LoopStep:
        write_weights(self.folder / START, arrays_of(model))
        return self.recorded(elastic_step(model, teacher, _Heard(**vars(objective), recorder=self), sub_models))


@dataclass(frozen=True, kw_only=True)
class _Heard(ElasticObjective):
    """An objective that tells the recorder of every loss."""

    recorder: Recorder

    def loss(self, own: Seen, wanted: Seen, text: Text, sub_model: SubModelConfig) -> Loss:
        total, parts = super().loss(own, wanted, text, sub_model)
        self.recorder.heard(sub_model, parts)
        return total, parts


def record(told: ElasticTold, folder: Path) -> None:
    """Everything of the product's run into the folder."""
    job = replace(told.job(), output_dir=str(folder / PRODUCT))
    select_device("cpu")
    distributed.start("cpu")
    recorder = _ElasticRecorder(folder)
    with patch.object(elastic, "elastic_step", recorder.elastic_step):
        elastic.pretrain_elastic(job)
    write_steps(folder, recorder.steps)
