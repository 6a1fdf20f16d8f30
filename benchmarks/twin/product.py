"""The product's side of a comparison: `train_supernet` as it is, and a record of what its steps got and found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

import paddle
from paddle import nn

from ofa_bert.cli.process import begin
from ofa_bert.data.encoding.batches import Batch
from ofa_bert.files.weights import write_weights
from ofa_bert.models.directories import arrays_of
from ofa_bert.models.supernet import Output
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.training import early
from ofa_bert.training.loop import Step as LoopStep
from ofa_bert.training.supernet import train
from ofa_bert.training.supernet.step import Objective, supernet_step
from twin.command_line import Told, limited
from twin.record import PRODUCT, START, Step, write_steps


@dataclass
class Recorder:
    """Takes the place of `supernet_step`, does the same and keeps what went in and what came out."""

    folder: Path
    steps: list[Step] = field(default_factory=list)

    def supernet_step(
        self,
        model: nn.Layer,
        teacher: nn.Layer,
        objective: Objective,
        choose: Callable[[int], tuple[SubModelConfig, ...]],
    ) -> LoopStep:
        write_weights(self.folder / START, arrays_of(model))
        return self.recorded(supernet_step(model, teacher, _Heard(**vars(objective), recorder=self), choose))

    def recorded(self, inner: LoopStep) -> LoopStep:
        """The same step, which leaves its batches here."""

        def step(batch: Batch, number: int, backward: Callable[[paddle.Tensor], None]) -> dict[str, float]:
            self.steps.append(Step(_arrays(batch), (), ()))
            return inner(batch, number, backward)

        return step

    def heard(self, sub_model: SubModelConfig, losses: Mapping[str, float]) -> None:
        step = self.steps[-1]
        self.steps[-1] = replace(step, sub_models=(*step.sub_models, sub_model), losses=(*step.losses, dict(losses)))


@dataclass(frozen=True, kw_only=True)
class _Heard(Objective):
    """An objective that tells the recorder of every loss."""

    recorder: Recorder

    def loss(
        self, student: Output, teacher: Output, weights: paddle.Tensor, sub_model: SubModelConfig
    ) -> tuple[paddle.Tensor, dict[str, float]]:
        total, parts = super().loss(student, teacher, weights, sub_model)
        self.recorder.heard(sub_model, parts)
        return total, parts


def _arrays(batch: Batch) -> Batch:
    ids, types, labels = (each.numpy() for each in (batch.input_ids, batch.token_type_ids, batch.labels))
    return Batch(ids, types, labels, batch.index)


def record(told: Told, folder: Path) -> None:
    """Everything of the product's run into the folder."""
    job = replace(told.job(), output_dir=str(folder / PRODUCT))
    datasets = limited(begin(job.data, "cpu", early.supernet(job)), told.own.examples)
    recorder = Recorder(folder)
    with patch.object(train, "supernet_step", recorder.supernet_step):
        train.train_supernet(job, datasets)
    write_steps(folder, recorder.steps)
