"""The model that taught a supernet, for a sub-model that is trained further."""

from __future__ import annotations

import copy
import logging
from pathlib import Path

from paddle import nn

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
    recorded = best_of(record.settings(where).text("model_name_or_path"))
    directory = best_of(named) if named else recorded
    if named or Path(directory, MODEL_META).exists():
        teacher, _, found = load_model(directory, record.model_type)
        check_task(directory, found, task)
        if found.is_sub_model or shape_of(teacher) != shape_of(supernet):
            raise UserError(
                f"`teacher` {directory}: is of another shape than the supernet; name the model it was made from"
            )
    else:
        teacher, directory = copy.deepcopy(supernet), where
        logger.info("%s is no longer there: the supernet's largest sub-model teaches", recorded)
    teacher.eval()
    return teacher, directory
