"""What stands beside weights in `ofa_config.json`: what a model is, what it was trained for and by which settings.

Imports no Paddle: a search or a server reads records of models that it does not load.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

from ofa_bert.data.held_out import HeldOut
from ofa_bert.errors import UserError
from ofa_bert.exits.layout import EXITS, HEADS, ExitLayout
from ofa_bert.files.fields import Fields
from ofa_bert.reporting import shown
from ofa_bert.submodels.elastic_record import ElasticRecord
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.values import ModelShape, SubModelConfig
from ofa_bert.system.provenance import versions
from ofa_bert.tasks.task import Task

FORMAT = 1
KINDS = ("teacher", "supernet", "sub_model", "pretrained")
HUB = "hub"  # in `more`: name and revision of the model on a hub that this one began as
Scores = Mapping[str, object]  # metric -> value; of a supernet, sub-model's name -> its scores
_CURE = "take a directory that ofa_bert wrote, whole"


@dataclass(frozen=True, kw_only=True)
class ExitRecord:
    """Which exits hang on a model, and how they were trained."""

    layout: ExitLayout
    training: str
    share: float = 0.0  # of a head's loss that is its distance from the last exit
    sub_models: tuple[str, ...] = ()
    held_out: HeldOut | None = None  # training examples that a threshold may be chosen on

    def to_json(self) -> dict[str, object]:
        return {
            **self.layout.to_json(),
            "training": self.training,
            "lambda": self.share,
            "sub_models": list(self.sub_models),
            **({} if self.held_out is None else {"held_out": self.held_out.to_json()}),
        }

    @classmethod
    def of(cls, fields: Fields) -> ExitRecord:
        return cls(
            layout=ExitLayout(fields.text("head", HEADS), fields.wholes("layers", least=0)),
            training=fields.text("training", default=""),
            share=fields.number("lambda", 0, 1, default=0.0),
            sub_models=fields.texts("sub_models", default=()),
            held_out=HeldOut.read(fields.inner("held_out")) if "held_out" in fields else None,
        )


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """The content of an ofa_config.json; all of it empty for a model from elsewhere.

    config: the settings of the run that made it, by option name. teacher: the scores of what taught it. more: what no
    other part of the package reads.
    """

    kind: str = ""
    task: Task | None = None
    model_type: str = ""
    max_seq_length: int = 0
    seed: int | None = None
    shape: ModelShape | None = None
    space: SearchSpace | None = None
    sub_model: SubModelConfig | None = None
    exits: ExitRecord | None = None
    held_out: HeldOut | None = None  # by the run that made it
    elastic: ElasticRecord | None = None  # the depths that its encoder was pre-trained in
    scores: Scores = field(default_factory=dict)
    score: float | None = None
    step: int | None = None
    config: Mapping[str, object] = field(default_factory=dict)
    versions: Mapping[str, object] = field(default_factory=versions)
    more: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        values = {
            "format": FORMAT,
            "kind": self.kind or None,
            "task": self.task and self.task.to_json(),
            "model_type": self.model_type or None,
            "max_seq_length": self.max_seq_length or None,
            "seed": self.seed,
            "shape": self.shape and self.shape.to_json(),
            "space": self.space and self.space.to_json(),
            "sub_model": self.sub_model and self.sub_model.to_json(),
            EXITS: self.exits and self.exits.to_json(),
            "held_out": self.held_out and self.held_out.to_json(),
            "elastic": self.elastic and self.elastic.to_json(),
            "scores": dict(self.scores) or None,
            "score": self.score,
            "step": self.step,
            "config": dict(self.config) or None,
            "versions": dict(self.versions),
            **self.more,
        }
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_json(cls, value: object, where: str) -> ModelRecord:
        """UserError, with the place, for anything that `to_json` does not write; unknown fields are kept in `more`."""
        fields = Fields(value, where, _CURE)
        if fields.whole("format", default=FORMAT) != FORMAT:
            fields.wrong("format", f"{FORMAT}, which this version reads")
        known = {"format", EXITS, *(item.name for item in dataclasses.fields(cls))} - {"more"}
        record = cls(
            kind=fields.text("kind", KINDS, default=""),
            model_type=fields.text("model_type", default=""),
            max_seq_length=fields.whole("max_seq_length", least=3, default=0),
            seed=fields.whole("seed", least=0, default=None),
            task=fields.made("task", Task.from_json) if "task" in fields else None,
            shape=fields.made("shape", ModelShape.from_json) if "shape" in fields else None,
            space=fields.made("space", SearchSpace.from_json) if "space" in fields else None,
            sub_model=fields.made("sub_model", SubModelConfig.from_json) if "sub_model" in fields else None,
            exits=ExitRecord.of(fields.inner(EXITS)) if EXITS in fields else None,
            held_out=HeldOut.read(fields.inner("held_out")) if "held_out" in fields else None,
            elastic=ElasticRecord.of(fields.inner("elastic")) if "elastic" in fields else None,
            scores=fields.mapping("scores", default={}),
            score=fields.number("score", default=None),
            step=fields.whole("step", least=0, default=None),
            config=fields.mapping("config", default={}),
            versions=fields.mapping("versions", default={}),
            more={name: content for name, content in fields.value.items() if name not in known},
        )
        record._check_together(fields)
        return record

    def _check_together(self, fields: Fields) -> None:
        sub_model, shape = self.sub_model, self.shape
        if sub_model is not None:
            if shape is None:
                fields.wrong("shape", "there, beside a sub_model")
            fields.made("sub_model", lambda _: sub_model.check_fits(shape))
        if self.exits is not None:
            self._check_exits(fields.inner(EXITS))
        if shape is not None and self.max_seq_length > shape.max_positions:
            fields.wrong("max_seq_length", f"at most the {shape.max_positions} tokens that the model has places for")
        if self.elastic is not None and shape is not None and self.elastic.num_layers != shape.num_layers:
            fields.wrong("elastic", f"that of an encoder with {shape.num_layers} layers, as the model has")
        if self.space is not None and shape is not None and self.space.shape != shape:
            fields.wrong("space", "one of a model of this shape")
        if self.task is not None and self.shape is not None and self.shape.num_labels != self.task.num_labels:
            fields.wrong("shape", f"that of a model with {self.task.num_labels} outputs, as the task has")

    def _check_exits(self, fields: Fields) -> None:
        layers, full = self.exits.layout.layers if self.exits else (), self.shape.num_layers if self.shape else None
        depth = self.sub_model.depth if self.sub_model else full
        if not layers or list(layers) != sorted(set(layers)) or (depth is not None and layers[-1] >= depth - 1):
            before = "the last" if depth is None else f"the last, {depth - 1}"
            fields.wrong("layers", f"one layer or more, ascending, before {before}")

    @property
    def is_supernet(self) -> bool:
        return self.space is not None

    @property
    def is_sub_model(self) -> bool:
        return self.sub_model is not None

    def passed_on(self, num_layers: int) -> ElasticRecord | None:
        """What is still true of a model with so many layers that is trained from this one."""
        found = self.elastic
        if found is None or found.num_layers != num_layers:
            return None
        return found if found.steps is not None else dataclasses.replace(found, steps=self.step)

    @property
    def origin(self) -> dict[str, object]:
        """What of `more` is still true of a model that is made from this one."""
        return {HUB: self.more[HUB]} if HUB in self.more else {}

    def settings(self, where: str) -> Fields:
        """What the run that made the model was told."""
        return Fields(self.config, f"{where}: config", _CURE)


def best_of(name_or_path: str) -> str:
    """The best/ of a training output directory; anything else as it is."""
    best = Path(name_or_path, "best")
    is_run = best.is_dir() and not Path(name_or_path, "config.json").exists()
    return str(best) if is_run else name_or_path


# What a sub-model has less of than the model it is part of, and what a fresh head has otherwise.
_OF_SUB_MODELS, _OF_HEADS = ("num_layers", "num_heads", "ffn_size"), ("num_labels", "per_token")


def check_shape(where: str, record: ModelRecord, built: ModelShape, own_head: bool) -> None:
    """UserError when a record describes another model than the one beside it. own_head: its outputs are its task's."""
    if own_head and record.task is not None and record.task.num_labels != built.num_labels:
        raise UserError(
            f"{where}: its ofa_config.json is of a task with {record.task.num_labels} outputs, its model has"
            f" {built.num_labels}; {_CURE}"
        )
    if record.shape is None:
        return
    left_out = (*_OF_HEADS, *(_OF_SUB_MODELS if record.is_sub_model else ()))
    said, real = dataclasses.asdict(record.shape), dataclasses.asdict(built)
    other = [
        f"{name} {said[name]}, not {real[name]}" for name in said if name not in left_out and said[name] != real[name]
    ]
    if other:
        raise UserError(f"{where}: its ofa_config.json describes another model: {'; '.join(other[:3])}; {_CURE}")


def check_task(where: str, record: ModelRecord, task: Task) -> Task:
    """The task as the model decides it; refuse a model that was finetuned for other labels than this task's."""
    other = record.task
    if other is None:
        return task
    if (other.name, other.labels, other.kind) != (task.name, task.labels, task.kind):
        raise UserError(
            f"{where} was finetuned for task {other.name} with labels {_labels(other)}, but this run"
            f" is for {task.name} with {_labels(task)}; take the directory that run_glue.py made"
            f" for {task.name}, or give run_glue.py `fresh_head` to finetune a new classifier"
        )
    task = dataclasses.replace(task, thresholds=other.thresholds, doc_stride=other.doc_stride)
    return task.judged_by(other.metric) if other.metric and not task.metric else task


def _labels(task: Task) -> str:
    return f"{shown(list(task.labels))} ({task.kind.word})" if task.labels else task.kind.word


def is_number(value: object) -> TypeGuard[float]:
    """A score may be NaN: that of a run that diverged."""
    return type(value) in (int, float)


def numbers(scores: Mapping[str, object]) -> dict[str, float]:
    """Scores of which each is a number; UserError, which names the first that is none."""
    wrong = [name for name, value in scores.items() if not is_number(value)]
    if wrong:
        raise UserError(f"the score {wrong[0]} of an evaluation is {shown(scores[wrong[0]])}, no number")
    return {name: value for name, value in scores.items() if is_number(value)}


def numbers_of_each(scores: Mapping[str, object]) -> dict[str, dict[str, float]]:
    """Name of a sub-model -> its scores, of an evaluation of several."""
    fields = Fields(scores, "the scores of the sub-models")
    return {name: numbers(fields.mapping(name)) for name in scores}
