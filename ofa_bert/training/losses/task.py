"""What a kind of task is trained for: pure functions of tensors, in a file of its own beside this one."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

import paddle

from ofa_bert.tasks.task import Task

Loss = Callable[[paddle.Tensor, paddle.Tensor], paddle.Tensor]


class KindLosses(NamedTuple):
    """Logits are [B, C]; means over the batch. The teacher's logits get no gradient from `distance`.

    task: against the labels. logit: a student's logits against its teacher's. distance: an exit's logits against the
    last exit's, 0 for the same. right: of logits and labels, how right each answer is [B], from 0 to 1.
    """

    task: Loss
    logit: Loss
    distance: Loss
    right: Loss


def losses_of(task: Task) -> KindLosses:
    """Those of the task's kind, which are found by its name."""
    return import_module(f"ofa_bert.training.losses.{task.kind_name}").LOSSES
