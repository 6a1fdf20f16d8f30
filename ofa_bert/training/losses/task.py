"""What a kind of task is trained for: pure functions of tensors, in a file of its own beside this one."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

import numpy as np
import paddle

from ofa_bert.data.batches import Batch
from ofa_bert.numerics import Floats
from ofa_bert.tasks.task import Task

Loss = Callable[[paddle.Tensor, paddle.Tensor], paddle.Tensor]


class KindLosses(NamedTuple):
    """Logits are [B, C]; means over the batch. The teacher's logits get no gradient from `distance`.

    task: against the labels. logit: a student's logits against its teacher's. distance: an exit's logits against the
    last exit's, 0 for the same. right: of logits and labels, how right each answer is [B], from 0 to 1. of_batch: the
    losses of a batch with these labels, where they say what of the logits counts.
    """

    task: Loss
    logit: Loss
    distance: Loss
    right: Loss
    of_batch: Callable[[paddle.Tensor], KindLosses] | None = None


def losses_of(task: Task) -> KindLosses:
    """Those of the task's kind, which are found by its name."""
    return import_module(f"ofa_bert.training.losses.{task.kind_name}").LOSSES


def on_batch(losses: KindLosses, batch: Batch) -> KindLosses:
    """The losses of one batch: of what counts in it, and by `on_labelled` of the texts whose labels do."""
    own = losses if losses.of_batch is None else losses.of_batch(batch.labels)
    return on_labelled(own, batch.label_weights)


def on_labelled(losses: KindLosses, weights: Floats | None) -> KindLosses:
    """The same losses where a batch has texts whose label counts for nothing; `weights` [B] as of `data.batches.Batch`.

    `task` is the sum over the other texts, each by its weight, through B: what processes hold can be averaged.
    """
    if weights is None:
        return losses
    rows = np.flatnonzero(weights)
    share = float(weights.sum()) / len(weights)

    def task(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        if not len(rows):
            return logits.sum() * 0.0  # the same parameters get a gradient in every process
        kept = paddle.to_tensor(rows)
        return losses.task(paddle.gather(logits, kept), paddle.gather(labels, kept)) * share

    return losses._replace(task=task)
