"""The one evaluation loop: logits of a data set, and a task's scores from them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import paddle
from paddle import nn

from ofa_bert.data.encoding.batches import Batch, eval_batches
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.data.tagging.answered import Answered
from ofa_bert.progress import Progress
from ofa_bert.tasks.metrics import chance, compute, main_score
from ofa_bert.tasks.task import Task
from ofa_bert.training import distributed

logger = logging.getLogger(__name__)

# Batch -> logits [B, C], or [B, T, C] of every token.
Forward = Callable[[Batch], paddle.Tensor]


def to_tensors(batch: Batch) -> Batch:
    """The same batch with Paddle tensors in the place of arrays."""
    return Batch(
        paddle.to_tensor(batch.input_ids),
        paddle.to_tensor(batch.token_type_ids),
        paddle.to_tensor(batch.labels),
        batch.index,
        batch.label_weights,
        batch.group,
    )


def predict(
    forward: Forward, encoded: Encoded, num_labels: int, pad_id: int, batch_size: int = 64, label: str = ""
) -> np.ndarray:
    """Logits [N, C] float32 in the data set's order, computed by all processes together.

    Where every token has an answer, of those that count: [M, C], row by row as `Encoded.scored`.
    """
    answered = Answered(encoded, num_labels)
    batches = list(eval_batches(encoded, batch_size, pad_id))[distributed.rank() :: distributed.world_size()]
    with paddle.no_grad():
        for batch in Progress(
            batches, desc=label, unit="batch", leave=False, disable=not (label and distributed.is_main())
        ):
            answered.put(batch.index, forward(to_tensors(batch)).astype("float32").numpy())
    return distributed.sum_array(answered.logits)


def score(
    task: Task, forward: Forward, splits: Mapping[str, Encoded], pad_id: int, label: str = ""
) -> dict[str, float]:
    """The task's metrics on every split, and under "score" the mean of the main metric over the splits.

    With a single split the metrics have their own names; with several, the split's name in front (MNLI).
    """
    logits = {name: predict(forward, encoded, task.num_labels, pad_id, label=label) for name, encoded in splits.items()}
    return score_splits(task, logits, splits)


def score_splits(task: Task, logits: Mapping[str, np.ndarray], splits: Mapping[str, Encoded]) -> dict[str, float]:
    """What `score` returns, from what `predict` says of every split."""
    answers = {name: splits[name].by_example(values) for name, values in logits.items()}
    return score_logits(task, answers, {name: each.scored for name, each in splits.items()})


def score_logits(task: Task, logits: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> dict[str, float]:
    """What `score` returns, from every split's logits [N, C] and labels [N], each a row or example."""
    result: dict[str, float] = {}
    mains = []
    for name, values in logits.items():
        metrics = compute(task, values, labels[name])
        mains.append(main_score(task, metrics))
        prefix = f"{name}_" if len(logits) > 1 else ""
        result.update({prefix + metric: value for metric, value in metrics.items()})
    return {"score": float(np.mean(mains)), **result}


def tuned(task: Task, model: nn.Layer, forwards: Sequence[Forward], held_out: Encoded | None, pad_id: int) -> Task:
    """The task with thresholds for the model as it is now, chosen on what nothing trains on; the model's mode stays.

    forwards: everything that will answer by them. Most kinds have none: then the task is what it was.
    """
    if held_out is None:
        return task

    def answers() -> list[np.ndarray]:
        training = model.training
        model.eval()
        found = [predict(forward, held_out, task.num_labels, pad_id, label="thresholds") for forward in forwards]
        found = [held_out.by_example(values) for values in found]
        if training:
            model.train()
        return found

    return task.tuned(held_out.scored, answers)


def stock_forward(model: paddle.nn.Layer) -> Callable[[Batch], paddle.Tensor]:
    return lambda batch: model(batch.input_ids, token_type_ids=batch.token_type_ids)


def warn_below_chance(where: str, task: Task, found: float) -> None:
    """A line for a finetuned model whose main score is worse than guessing: its classes may be in another order."""
    if found < chance(task):
        logger.warning(
            "%s: scores %.4f on dev, worse than guessing: if it comes from elsewhere, its classes may be in another"
            " order than %s; name them in id2label of its config.json",
            where,
            found,
            ", ".join(task.labels) or "the numbers of this task",
        )
