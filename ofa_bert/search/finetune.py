"""The winner of a search, distilled for some steps of its own."""

from __future__ import annotations

import copy
import logging
from pathlib import Path

from paddle import nn

from ofa_bert.data.batches import TrainBatches
from ofa_bert.errors import UserError
from ofa_bert.files.atomic import MODEL_META
from ofa_bert.models.directories import best_of, load_model
from ofa_bert.models.encoder import set_dropout, shape_of
from ofa_bert.models.record import check_task
from ofa_bert.search.config import SearchConfig
from ofa_bert.search.setup import Supernet
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.training import loop
from ofa_bert.training.losses.task import losses_of
from ofa_bert.training.supernet.config import OfaConfig
from ofa_bert.training.supernet.step import Objective, supernet_step

logger = logging.getLogger(__name__)


def finetune(config: SearchConfig, supernet: Supernet, sub_model: SubModelConfig) -> str:
    """Distil into the winner's slice of the supernet, in place; returns what taught it."""
    teacher, where = _teacher(config, supernet)
    trained = supernet.meta["config"]
    model = supernet.model
    if trained.get("supernet_dropout") is not None:
        set_dropout(model, trained["supernet_dropout"])
    settings = OfaConfig(
        output_dir=config.output_dir,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        max_steps=config.finetune_steps,
        warmup_proportion=0.1,
        logging_steps=max(1, config.finetune_steps // 10),
        save_steps=config.finetune_steps + 1,
        seed=config.seed,
        device=config.device,
    )
    batches = TrainBatches(supernet.train, config.batch_size, config.seed, supernet.pad_id)
    plan = loop.make_plan(settings, batches.steps_per_epoch)
    objective = Objective(losses_of(supernet.task), trained["lambda_logit"], trained["lambda_rep"])
    step = supernet_step(model, teacher, objective, lambda _: (sub_model,))
    model.train()
    optimizer = loop.make_optimizer(settings, model, plan)
    loop.fit(settings, model, optimizer, batches, plan, step, lambda _: None, label="finetune the winner")
    model.eval()
    return where


def _teacher(config: SearchConfig, supernet: Supernet) -> tuple[nn.Layer, str]:
    """What --teacher names; else the model that taught the supernet, if it is still there; else the supernet."""
    recorded = best_of(supernet.meta["config"]["model_name_or_path"])
    where = best_of(config.teacher) if config.teacher else recorded
    if config.teacher or Path(where, MODEL_META).exists():
        teacher, _, meta = load_model(where, config.model_type)
        check_task(where, meta, supernet.task)
        if meta.get("sub_model") or shape_of(teacher) != supernet.space.shape:
            raise UserError(
                f"--teacher {where}: is of another shape than the supernet; name the model it was made from"
            )
    else:
        teacher, where = copy.deepcopy(supernet.model), supernet.where
        logger.info("%s is no longer there: the supernet's largest sub-model teaches the winner", recorded)
    teacher.eval()
    return teacher, where
