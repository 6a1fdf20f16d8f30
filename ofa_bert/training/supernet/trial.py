"""Sets of layers trained for a short while from the same start on the same batches, and scored on the held-out part."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import paddle
from paddle import nn

from ofa_bert.data.encoding.batches import Batch
from ofa_bert.files.kept import keep_content, kept_content
from ofa_bert.models.directories import arrays_of
from ofa_bert.models.encoder import set_dropout, shape_of
from ofa_bert.models.supernet import extract, forward, whole
from ofa_bert.submodels.layer_sets import Layers
from ofa_bert.submodels.values import SubModelConfig, uniform
from ofa_bert.training import distributed, loop
from ofa_bert.training.evaluation import predict, score_logits
from ofa_bert.training.run_directory import FREE
from ofa_bert.training.settings import LoopSettings, OptimizerSettings
from ofa_bert.training.setup import TrainingSetup
from ofa_bert.training.supernet.layer_trials import LayerTrial
from ofa_bert.training.supernet.step import Objective, supernet_step

HELD_OUT = "held out"


class TrialPlan(NamedTuple):
    """How a set of layers is trained. told: the settings of the run, of which some decide what a trial finds."""

    steps: int
    loop: LoopSettings
    optimizer: OptimizerSettings
    objective: Objective
    dropout: float | None
    told: Mapping[str, object]


class Trials:
    """Trains sets of layers of `setup.model`, each alone and at full width, as the plan says.

    What is finished is kept in `directory`: a run that goes on does not train it again.
    """

    def __init__(
        self, plan: TrialPlan, setup: TrainingSetup, teacher: nn.Layer, batches: loop.Batches, directory: Path
    ) -> None:
        self.plan, self.setup, self.teacher, self.batches = plan, setup, teacher, batches
        self._path = directory / f"layer-trials-{self._key()}.json"
        content = kept_content(self._path)
        # It is what was written, so it needs no further look.
        self._known: dict[str, list[float]] = {} if content is None else json.loads(content)
        distributed.barrier()  # everybody has read before the first writes
        self._full = self._answers(teacher, whole(teacher), "teacher held out")

    def of(self, name: str, layers: Layers) -> LayerTrial:
        key = " ".join(map(str, layers))
        if key not in self._known:
            self._known[key] = list(self._run(name, layers))
            if distributed.is_main():
                keep_content(self._path, json.dumps(self._known).encode())
        score, distance = self._known[key]
        return LayerTrial(name, layers, score, distance)

    def _run(self, name: str, layers: Layers) -> tuple[float, float]:
        trial, setup = self.plan, self.setup
        model = extract(setup.model, uniform(shape_of(setup.model), 1.0, layers))
        if trial.dropout is not None:
            set_dropout(model, trial.dropout)
        steps, every = trial.steps, whole(model)
        settings = dataclasses.replace(trial.loop, max_steps=steps, logging_steps=steps, save_steps=steps)
        plan = loop.make_plan(settings, self.batches.steps_per_epoch)
        step = supernet_step(model, self.teacher, trial.objective, lambda number: (every,), layers)
        model.train()
        optimizer = loop.make_optimizer(trial.optimizer, model, plan)
        loop.fit(settings, model, optimizer, self.batches, plan, step, lambda done: None, label=f"try {name}")
        model.eval()
        answers = self._answers(model, every, f"{name} held out")
        scores = score_logits(setup.task, {HELD_OUT: answers}, {HELD_OUT: setup.measured.scored})
        return scores["score"], float(setup.task.kind.distance(self._full, answers))

    def _answers(self, model: nn.Layer, sub_model: SubModelConfig, label: str) -> np.ndarray:
        def run(batch: Batch) -> paddle.Tensor:
            return forward(model, batch.input_ids, batch.token_type_ids, sub_model).logits

        held, classes = self.setup.measured, self.setup.task.num_labels
        return held.by_example(predict(run, held, classes, self.setup.tokenizer.pad_token_id, label=label))

    def _key(self) -> str:
        """SHA-256 over everything that decides what a trial finds."""
        told = {name: value for name, value in self.plan.told.items() if name not in FREE}
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
        for encoded in (self.setup.train, self.setup.measured):
            digest.update(encoded.digest().encode())
        for array in arrays_of(self.setup.model).values():
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:32]
