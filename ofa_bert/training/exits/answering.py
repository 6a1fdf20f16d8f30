"""Answering with early exits in batches that stay full, and answering at exits that were predicted beforehand."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import paddle
from paddle import nn

from ofa_bert.data.encoding.batches import eval_batches
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.exits.loop import POOL_BATCHES, Answer, Answers, Kind, Library, Stage, Work, advance, groups
from ofa_bert.exits.policy import Policy
from ofa_bert.exits.token_table import depth_batches
from ofa_bert.models.exits.graphs import Entry, Segment, UpTo, depths, segments
from ofa_bert.models.exits.heads import Exits
from ofa_bert.training.evaluation import to_tensors

_PADDING = -1e4  # in an additive mask


def answer(
    model: nn.Layer,
    exits: Exits,
    policy: Policy,
    encoded: Encoded,
    batch_size: int,
    pad_id: int,
    pool: int = POOL_BATCHES,
    ask: Collection[int] | None = None,
) -> Answers:
    """Answer every sample at the first exit that the policy lets it leave at. Model and exits are in eval mode.

    `pool` batches advance from exit to exit together; after each exit, the samples that stay are packed into as few
    batches as hold them, so that all but the last are full. With `pool` 1 a batch shrinks by the samples that left.
    `ask`: the places of the exits that may answer before the last one; default: all.
    """
    answers = Answers.empty(len(encoded), model.config.num_labels)
    *early, last = depths(model, exits)
    ends = [end for place, end in enumerate(early) if ask is None or place in ask]
    ends = [last] if policy.never(len(ends)) else [*ends, last]
    entry, certain = Entry(model), policy.rule.needs_certainty
    stages = [_stage(part, certain) for part in segments(model, exits, ends)]
    with paddle.no_grad():
        for several in groups(eval_batches(encoded, batch_size, pad_id), pool):
            work = []
            for batch in several:
                tensors = to_tensors(batch)
                work.append(Work.begin(_KIND, entry(tensors.input_ids, tensors.token_type_ids), batch.index))
            advance(work, stages, policy, lambda length: batch_size, answers)
    return answers


def answer_at(
    model: nn.Layer, exits: Exits, places: np.ndarray, encoded: Encoded, batch_size: int, pad_id: int
) -> Answers:
    """Answer sample i at exit places[i], the last of them being the model's own: so many layers and one head.

    Batches hold samples of one exit and are full but for the last of each.
    """
    answers = Answers.empty(len(encoded), model.config.num_labels)
    ends = depths(model, exits)
    graphs = {place: UpTo(model, exits, ends[place]) for place in np.unique(places)}
    with paddle.no_grad():
        for place, batch in depth_batches(encoded, places, batch_size, pad_id):
            tensors = to_tensors(batch)
            logits = graphs[place](tensors.input_ids, tensors.token_type_ids)
            answers.logits[batch.index] = logits.astype("float32").numpy()
            answers.layers[batch.index] = ends[place]
    return answers


def _stage(part: Segment, certain: bool) -> Stage:
    def run(hidden: paddle.Tensor, mask: paddle.Tensor) -> Answer:
        step = part(hidden, mask)
        certainty = step.certainty.numpy() if certain else None
        return Answer((step.hidden, mask), step.logits.astype("float32").numpy(), certainty)

    return Stage(run, part.end)


def _take(tensor: paddle.Tensor, rows: np.ndarray) -> paddle.Tensor:
    return paddle.index_select(tensor, paddle.to_tensor(rows))


def _join(tensors: Sequence[paddle.Tensor], axis: int, value: float) -> paddle.Tensor:
    longest = max(tensor.shape[axis] for tensor in tensors)
    widened = []
    for tensor in tensors:
        shape = tensor.shape
        shape[axis] = longest - shape[axis]
        more = [paddle.full(shape, value, tensor.dtype)] if shape[axis] else []
        widened.append(paddle.concat([tensor, *more], axis) if more else tensor)
    return paddle.concat(widened)


_KIND = Kind(Library(_take, _join), ((1, 0.0), (3, _PADDING)))  # hidden states [B, T, H], mask [B, 1, 1, T]
