"""The winner of a search, distilled for some steps of its own."""

from __future__ import annotations

import time
from typing import TypedDict

from ofa_bert.data.encoding.batches import TrainBatches
from ofa_bert.models.encoder import set_dropout
from ofa_bert.search.setup import Supernet
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.training import loop
from ofa_bert.training.losses.task import losses_of
from ofa_bert.training.settings import LoopSettings, OptimizerSettings
from ofa_bert.training.setup import trained_on
from ofa_bert.training.supernet.step import Objective, supernet_step
from ofa_bert.training.supernet.teacher import teacher_of


class Finetuned(TypedDict):
    """The finetuning of a winner, for results.json."""

    steps: int
    teacher: str
    seconds: float


def finetune(
    supernet: Supernet,
    sub_model: SubModelConfig,
    loops: LoopSettings,
    optimizer: OptimizerSettings,
    teacher_name: str | None,
) -> Finetuned:
    """Distil into the winner's slice of the supernet, in place.

    teacher_name: a model's directory; default: the model that taught the supernet, if it is still there.
    """
    started = time.monotonic()
    teacher, where = teacher_of(teacher_name, supernet.where, supernet.record, supernet.model, supernet.task)
    trained = supernet.record.settings(supernet.where)
    model = supernet.model
    dropout = trained.number("supernet_dropout", 0, 1, default=None)
    if dropout is not None:
        set_dropout(model, dropout)
    batches = TrainBatches(trained_on(supernet.task, supernet.train), loops.batch_size, loops.seed, supernet.pad_id)
    plan = loop.make_plan(loops, batches.steps_per_epoch)
    weights = [trained.number(name, least=0) for name in ("lambda_logit", "lambda_rep")]
    step = supernet_step(model, teacher, Objective(losses_of(supernet.task), *weights), lambda _: (sub_model,))
    model.train()
    adam = loop.make_optimizer(optimizer, model, plan)
    loop.fit(loops, model, adam, batches, plan, step, lambda _: None, label="finetune the winner")
    model.eval()
    return {"steps": loops.max_steps, "teacher": where, "seconds": round(time.monotonic() - started, 1)}
