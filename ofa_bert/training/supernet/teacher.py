"""The model that taught a supernet, for a sub-model that is trained further."""

from __future__ import annotations

import copy
import logging
from pathlib import Path

from paddle import nn

from ofa_bert.data.tokenization.text_tokenizer import Cutter
from ofa_bert.errors import UserError
from ofa_bert.files.atomic import MODEL_META
from ofa_bert.models.directories import load_model
from ofa_bert.models.encoder import shape_of
from ofa_bert.models.record import ModelRecord, best_of, check_task
from ofa_bert.tasks.task import Task

logger = logging.getLogger(__name__)


def teacher_of(
    named: str | None, where: str, record: ModelRecord, supernet: nn.Layer, task: Task
) -> tuple[nn.Layer, str]:
    """(model in eval mode, its directory): the one that is named; else the one that taught the supernet at `where`.

    The supernet itself where that one is no longer there. UserError for a named model of another task or shape.
    """
    settings = record.settings(where)
    taught = settings.text("teacher") if record.config.get("teacher") else settings.text("model_name_or_path")
    directory = best_of(named or taught)
    if named or Path(directory, MODEL_META).exists():
        return named_teacher(directory, record.model_type, supernet, task)[0], directory
    logger.info("%s is no longer there: the supernet's largest sub-model teaches", directory)
    teacher = copy.deepcopy(supernet)
    teacher.eval()
    return teacher, where


def named_teacher(name: str, model_type: str, supernet: nn.Layer, task: Task) -> tuple[nn.Layer, Cutter]:
    """(model in eval mode, its tokenizer). UserError for a model of another task or shape than the supernet's."""
    directory = best_of(name)
    teacher, tokenizer, found = load_model(directory, model_type, task=task)
    check_task(directory, found, task)
    if found.is_sub_model or shape_of(teacher) != shape_of(supernet):
        raise UserError(
            f"`teacher` {directory}: is of another shape than the supernet; name a full model of the same shape"
        )
    teacher.eval()
    return teacher, tokenizer
