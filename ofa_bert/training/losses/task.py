"""What a kind of task is trained for: pure functions of tensors, in a file of its own beside this one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NamedTuple

import numpy as np
import paddle

from ofa_bert.data.encoding.batches import Batch
from ofa_bert.numerics import MASKED, Floats, Ints
from ofa_bert.tasks.groups import places
from ofa_bert.tasks.task import Task

Loss = Callable[[paddle.Tensor, paddle.Tensor], paddle.Tensor]


class KindLosses(NamedTuple):
    """Logits are [B, C]; means over the batch. The teacher's logits get no gradient from `distance`.

    task: against the labels. logit: a student's logits against its teacher's. distance: an exit's logits against the
    last exit's, 0 for the same. right: of logits and labels, how right each answer is [B], from 0 to 1.
    of_batch: the losses of a batch with these labels, where they say what of the logits counts.
    joint: the rows of an example are compared with each other: logits and labels are [E, C], as `for_batch` makes them.
    weighed: `task` by weights of the classes, if any, and with a share of the label spread over all of them.
    """

    task: Loss
    logit: Loss
    distance: Loss
    right: Loss
    of_batch: Callable[[paddle.Tensor], KindLosses] | None = None
    joint: bool = False
    weighed: Callable[[Sequence[float] | None, float], Loss] | None = None


def losses_of(task: Task) -> KindLosses:
    """Those of the task's kind, which are found by its name, and of its objective where the kind has several."""
    found = import_module(f"ofa_bert.training.losses.{task.kind_name}").LOSSES
    return found[task.objective] if task.objective else found


def for_batch(losses: KindLosses, batch: Batch) -> KindLosses:
    """The same losses of the rows of a batch, of what counts in it: logits [B, C] or [B, T, C]."""
    own = losses if losses.of_batch is None else losses.of_batch(batch.labels)
    return on_labelled(own, batch.label_weights, batch.group)


def on_labelled(losses: KindLosses, weights: Floats | None, group: Ints | None = None) -> KindLosses:
    """The same losses where a batch has texts whose label counts for nothing; `weights` [B] as of `Batch`.

    `task` is the sum over the other texts, each by its weight, through B: what processes hold can be averaged.
    group [B]: the example of each row, of which all rows weigh the same.
    """
    together = _of_rows(losses, group)
    if weights is None:
        return together
    rows = np.flatnonzero(weights)
    counts = np.ones(len(weights)) if group is None else 1 / np.bincount(group)[group]
    share = float((weights * counts).sum()) / float(counts.sum())
    kept = _of_rows(losses, None if group is None else group[rows])

    def task(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        if not len(rows):
            return logits.sum() * 0.0  # the same parameters get a gradient in every process
        those = paddle.to_tensor(rows)
        return kept.task(paddle.gather(logits, those), paddle.gather(labels, those)) * share

    return together._replace(task=task)


def _of_rows(losses: KindLosses, group: Ints | None) -> KindLosses:
    """Losses of logits [B, 1] and labels [B] that compare the rows of an example with each other."""
    if not losses.joint or group is None:
        return losses
    found = places(group)
    rows, real = paddle.to_tensor(found.rows), paddle.to_tensor(found.real)

    def regrouped(values: paddle.Tensor) -> paddle.Tensor:
        """[E, C] of [B, 1] or [B]; where an example has no such row what no softmax sees."""
        taken = paddle.gather(values.reshape([-1]), rows.reshape([-1])).reshape(rows.shape)
        return paddle.where(real, taken, paddle.full_like(taken, MASKED))

    def of(loss: Loss) -> Loss:
        return lambda first, second: loss(regrouped(first), regrouped(second))

    return KindLosses(of(losses.task), of(losses.logit), of(losses.distance), of(losses.right), joint=False)
