"""Train one extracted sub-model of a supernet further, alone, by the supernet's own objective."""

from __future__ import annotations

import dataclasses
import logging
from typing import NamedTuple

from paddle import nn

from ofa_bert.data.encoding.encoded import encode
from ofa_bert.data.tokenization.text_tokenizer import Cutter
from ofa_bert.models.encoder import set_dropout
from ofa_bert.models.record import ModelRecord
from ofa_bert.models.supernet import whole
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.tasks.metrics import as_text
from ofa_bert.tasks.task import Datasets, Task
from ofa_bert.training import loop
from ofa_bert.training.evaluation import score, stock_forward, tuned
from ofa_bert.training.losses.task import losses_of
from ofa_bert.training.settings import OptimizerSettings
from ofa_bert.training.setup import TrainingSetup
from ofa_bert.training.supernet.polishing import Polishing
from ofa_bert.training.supernet.step import Objective, supernet_step
from ofa_bert.training.supernet.teacher import teacher_of

logger = logging.getLogger(__name__)


class Polished(NamedTuple):
    """task: as the model decides it now. scores: on dev. about: what a record says of it."""

    task: Task
    scores: dict[str, float]
    about: dict[str, object]


def polish(
    settings: Polishing,
    where: str,
    record: ModelRecord,
    supernet: nn.Layer,
    tokenizer: Cutter,
    sub_model: SubModelConfig,
    small: nn.Layer,
    datasets: Datasets,
) -> Polished:
    """Train `small`, which is `sub_model` of the supernet at `where`, in place; it is left in eval mode.

    What the supernet held out from its training data is not trained on here either, and dev chooses nothing: the last
    step counts. UserError for other training data than the supernet's.
    """
    teacher, taught_by = teacher_of(settings.teacher, where, record, supernet, datasets.task)
    setup = _setup(settings, where, record, tokenizer, small, datasets)
    pad_id, run = tokenizer.pad_token_id, settings.loop(where, record)
    before = score(setup.task, stock_forward(small), setup.dev, pad_id, label="dev before")
    told, augmentation = record.settings(where), settings.augmentation(where, record)
    dropout = told.number("supernet_dropout", 0, 1, default=None)
    if dropout is not None:
        set_dropout(small, dropout)
    weights = [told.number(name, least=0) for name in ("lambda_logit", "lambda_rep")]
    batches, everything = setup.train_batches(run, augmentation, teacher), whole(small)
    plan = loop.make_plan(run, batches.steps_per_epoch)
    objective = Objective(losses_of(setup.task), *weights)
    step = supernet_step(small, teacher, objective, lambda number: (everything,), sub_model.layers)
    optimizer = loop.make_optimizer(OptimizerSettings(learning_rate=settings.polish_learning_rate), small, plan)
    small.train()
    loop.fit(run, small, optimizer, batches, plan, step, lambda done: None, label="polish")
    small.eval()
    task = tuned(setup.task, small, [stock_forward(small)], setup.held_out, pad_id)
    after = score(task, stock_forward(small), setup.dev, pad_id, label="dev after")
    logger.info("before polishing  dev %s", as_text(before))
    logger.info("polished          dev %s", as_text(after))
    about: dict[str, object] = {
        "epochs": settings.polish, "steps": plan.total_steps, "learning_rate": settings.polish_learning_rate,
        "batch_size": run.batch_size, "seed": run.seed, "teacher": taught_by, "before": before, "after": after,
        **dataclasses.asdict(augmentation),
    }  # fmt: skip
    return Polished(task, after, about)


def _setup(
    settings: Polishing, where: str, record: ModelRecord, tokenizer: Cutter, small: nn.Layer, datasets: Datasets
) -> TrainingSetup:
    length, stride = settings.loop(where, record).length, datasets.task.doc_stride
    train, held_out = encode(datasets.train, tokenizer, length, stride=stride), None
    dev = {name: encode(rows, tokenizer, length, stride=stride) for name, rows in datasets.dev.items()}
    if record.held_out is not None:
        rest, held = record.held_out.split(where, train.examples)
        train, held_out = train.take(rest), train.take(held)
        record.held_out.check(where, held_out)
    return TrainingSetup(datasets.task, train, held_out, dev, small, tokenizer, record)
