"""Classifiers from elsewhere: their classes are matched to a task's by name, since others number them otherwise."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence

import numpy as np
from paddle import nn

from ofa_bert.errors import UserError
from ofa_bert.models.encoder import classifier_head, module_at
from ofa_bert.reporting import shown
from ofa_bert.tasks.glue import aliases, joined
from ofa_bert.tasks.task import Task

logger = logging.getLogger(__name__)


def arrange_classes(where: str, model: nn.Layer, config: Mapping[str, object], task: Task) -> None:
    """Put the classifier's outputs into the task's order, by the names in `config` (config.json as it was read).

    Names are compared without case; GLUE's own numbers answer to their usual names. UserError when they are other
    classes. Without names the order is taken to be the task's, and a line says so.
    """
    names = class_names(where, config)
    if not task.labels:
        return
    if names is None:
        logger.warning(
            "%s: does not name its classes; its outputs are taken for %s, in this order. If that is wrong, write"
            " id2label into its config.json",
            where,
            ", ".join(task.labels),
        )
        return
    order = _order(names, task)
    if order is None:
        raise UserError(
            f"{where}: answers {', '.join(map(shown, names))}, and {task.name} has the classes"
            f" {', '.join(task.labels)}; take a model of this task, or give run_glue.py `fresh_head` to finetune a new"
            " classifier"
        )
    if list(order) != sorted(order):
        _permute(model, order)
        logger.info("%s: its classes are %s; put in the order %s", where, ", ".join(names), ", ".join(task.labels))


def class_names(where: str, config: Mapping[str, object]) -> tuple[str, ...] | None:
    """The names in id2label or label2id, by output; None when there are none, or but LABEL_0, LABEL_1, ..."""
    found = [names for names in (_by_id(config.get("id2label")), _by_name(config.get("label2id"))) if names]
    named = [names for names in found if not all(re.fullmatch(r"LABEL_\d+", name) for name in names.values())]
    if not named:
        return None
    if any(other != named[0] for other in named):
        raise UserError(f"{where}: id2label and label2id in its config.json contradict each other; mend one of them")
    names = named[0]
    if sorted(names) != list(range(len(names))):
        raise UserError(
            f"{where}: id2label in its config.json names the outputs {sorted(names)}, must be 0 to {len(names) - 1}"
        )
    return tuple(names[output] for output in range(len(names)))


def _by_id(value: object) -> dict[int, str]:
    if not isinstance(value, Mapping):
        return {}
    return {int(key): str(name) for key, name in value.items() if re.fullmatch(r"\d{1,6}", str(key))}


def _by_name(value: object) -> dict[int, str]:
    if not isinstance(value, Mapping):
        return {}
    return {number: str(name) for name, number in value.items() if type(number) is int}


def _order(names: Sequence[str], task: Task) -> tuple[int, ...] | None:
    """For each class of the task the output that means it; None when they are not the same classes."""
    known = aliases(task)
    found = [next((label for label in task.labels if joined(name) in known[label]), None) for name in names]
    if len(names) != len(task.labels) or set(found) != set(task.labels):
        return None
    return tuple(found.index(label) for label in task.labels)


def _permute(model: nn.Layer, order: Sequence[int]) -> None:
    output = module_at(model, classifier_head(model).output)
    for parameter in (output.weight, output.bias):  # [H, C] and [C]
        if parameter is not None:
            parameter.set_value(np.ascontiguousarray(parameter.numpy()[..., list(order)]))
