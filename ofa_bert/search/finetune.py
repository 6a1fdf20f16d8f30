"""The winner of a search, distilled for some steps of its own."""

from __future__ import annotations

import copy
import logging
import time
from pathlib import Path
from typing import TypedDict

from paddle import nn

from ofa_bert.data.batches import TrainBatches
from ofa_bert.errors import UserError
from ofa_bert.files.atomic import MODEL_META
from ofa_bert.models.directories import load_model
from ofa_bert.models.encoder import set_dropout, shape_of
from ofa_bert.models.record import best_of, check_task
from ofa_bert.search.setup import Supernet
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.training import loop
from ofa_bert.training.losses.task import losses_of
from ofa_bert.training.settings import LoopSettings, OptimizerSettings
from ofa_bert.training.supernet.step import Objective, supernet_step

logger = logging.getLogger(__name__)


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
    teacher, where = _teacher(teacher_name, supernet)
    trained = supernet.record.settings(supernet.where)
    model = supernet.model
    dropout = trained.number("supernet_dropout", 0, 1, default=None)
    if dropout is not None:
        set_dropout(model, dropout)
    batches = TrainBatches(supernet.train, loops.batch_size, loops.seed, supernet.pad_id)
    plan = loop.make_plan(loops, batches.steps_per_epoch)
    weights = [trained.number(name, least=0) for name in ("lambda_logit", "lambda_rep")]
    step = supernet_step(model, teacher, Objective(losses_of(supernet.task), *weights), lambda _: (sub_model,))
    model.train()
    adam = loop.make_optimizer(optimizer, model, plan)
    loop.fit(loops, model, adam, batches, plan, step, lambda _: None, label="finetune the winner")
    model.eval()
    return {"steps": loops.max_steps, "teacher": where, "seconds": round(time.monotonic() - started, 1)}


def _teacher(named: str | None, supernet: Supernet) -> tuple[nn.Layer, str]:
    """The model that is named; else the one that taught the supernet, if it is still there; else the supernet."""
    recorded = best_of(supernet.record.settings(supernet.where).text("model_name_or_path"))
    where = best_of(named) if named else recorded
    if named or Path(where, MODEL_META).exists():
        teacher, _, record = load_model(where, supernet.record.model_type)
        check_task(where, record, supernet.task)
        if record.is_sub_model or shape_of(teacher) != supernet.space.shape:
            raise UserError(
                f"`teacher` {where}: is of another shape than the supernet; name the model it was made from"
            )
    else:
        teacher, where = copy.deepcopy(supernet.model), supernet.where
        logger.info("%s is no longer there: the supernet's largest sub-model teaches the winner", recorded)
    teacher.eval()
    return teacher, where
