"""Answering with early exits in batches that stay full, and answering at exits that were predicted beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Collection, Iterable, Iterator, NamedTuple, Optional

import numpy as np
import paddle
from paddle import nn

from ofa_bert.batches import Batch, Encoded, eval_batches
from ofa_bert.evaluate import to_tensors
from ofa_bert.exit_graphs import Entry, Segment, UpTo, depths, segments
from ofa_bert.exit_policy import Policy, State, fresh
from ofa_bert.exit_prediction import depth_batches
from ofa_bert.exits import Exits

POOL_BATCHES = 8
_PADDING = -1e4  # in an additive mask


class Answers(NamedTuple):
    """In the data set's order: logits [N, C] float32 and the layers [N] that ran until the exit that gave them."""

    logits: np.ndarray
    layers: np.ndarray


@dataclass(frozen=True)
class Work:
    """Samples on their way: hidden states [B, T, H], mask [B, 1, 1, T], places in the data set [B], policy's state."""

    hidden: paddle.Tensor
    mask: paddle.Tensor
    index: np.ndarray
    state: State

    def select(self, rows: np.ndarray) -> Work:
        picked = paddle.to_tensor(rows)
        hidden, mask = (paddle.index_select(tensor, picked) for tensor in (self.hidden, self.mask))
        return Work(hidden, mask, self.index[rows], self.state.select(rows))

    def rows(self, start: int, stop: int) -> Work:
        return self if stop - start == len(self.index) else self.select(np.arange(start, stop))


def answer(
    model: nn.Layer,
    exits: Exits,
    policy: Policy,
    encoded: Encoded,
    batch_size: int,
    pad_id: int,
    pool: int = POOL_BATCHES,
    ask: Optional[Collection[int]] = None,
) -> Answers:
    """Answer every sample at the first exit that the policy lets it leave at. Model and exits are in eval mode.

    `pool` batches advance from exit to exit together; after each exit, the samples that stay are packed into as few
    batches as hold them, so that all but the last are full. With `pool` 1 a batch shrinks by the samples that left.
    `ask`: the places of the exits that may answer before the last one; default: all.
    """
    answers = _empty(encoded, model)
    *early, last = depths(model, exits)
    ends = [end for place, end in enumerate(early) if ask is None or place in ask]
    ends = [last] if policy.never(len(ends)) else [*ends, last]
    entry, parts = Entry(model), segments(model, exits, ends)
    batches = eval_batches(encoded, batch_size, pad_id)
    with paddle.no_grad():
        for several in _groups(batches, pool):
            _advance([_start(entry, batch) for batch in several], parts, policy, batch_size, answers)
    return answers


def answer_at(
    model: nn.Layer, exits: Exits, places: np.ndarray, encoded: Encoded, batch_size: int, pad_id: int
) -> Answers:
    """Answer sample i at exit places[i], the last of them being the model's own: so many layers and one head.

    Batches hold samples of one exit and are full but for the last of each.
    """
    answers = _empty(encoded, model)
    ends = depths(model, exits)
    graphs = {place: UpTo(model, exits, ends[place]) for place in np.unique(places)}
    with paddle.no_grad():
        for place, batch in depth_batches(encoded, places, batch_size, pad_id):
            tensors = to_tensors(batch)
            logits = graphs[place](tensors.input_ids, tensors.token_type_ids)
            answers.logits[batch.index] = logits.astype("float32").numpy()
            answers.layers[batch.index] = ends[place]
    return answers


def _empty(encoded: Encoded, model: nn.Layer) -> Answers:
    logits = np.zeros([len(encoded), model.config.num_labels], dtype=np.float32)
    return Answers(logits, np.zeros(len(encoded), dtype=np.int64))


def _groups(batches: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    while True:
        several = list(islice(batches, size))
        if not several:
            return
        yield several


def _start(entry: Entry, batch: Batch) -> Work:
    tensors = to_tensors(batch)
    return Work(*entry(tensors.input_ids, tensors.token_type_ids), batch.index, fresh(len(batch.index)))


def _advance(work: list[Work], parts: Iterable[Segment], policy: Policy, batch_size: int, answers: Answers) -> None:
    for part in parts:
        staying = []
        for item in pack(work, batch_size):
            step = part(item.hidden, item.mask)
            logits = step.logits.astype("float32").numpy()
            if part.last:
                leave, state = np.ones(len(item.index), dtype=bool), item.state
            else:
                certainty = step.certainty.numpy() if policy.criterion == "certainty" else None
                leave, state = policy.leave(logits, certainty, item.state)
            answers.logits[item.index[leave]] = logits[leave]
            answers.layers[item.index[leave]] = part.end
            moved = Work(step.hidden, item.mask, item.index, state)
            if not leave.any():
                staying.append(moved)
            elif not leave.all():
                staying.append(moved.select(np.flatnonzero(~leave)))
        work = staying


def pack(work: list[Work], batch_size: int) -> list[Work]:
    """The same samples in the same order, in as few batches as can be; untouched when nothing would be won."""
    total = sum(len(item.index) for item in work)
    if -(-total // batch_size) >= len(work):
        return work
    packed, waiting, count = [], [], 0
    for item in work:
        start, size = 0, len(item.index)
        while size - start >= batch_size - count:
            stop = start + batch_size - count
            packed.append(_join([*waiting, item.rows(start, stop)]))
            waiting, count, start = [], 0, stop
        if start < size:
            waiting.append(item.rows(start, size))
            count += size - start
    return packed + ([_join(waiting)] if waiting else [])


def _join(items: list[Work]) -> Work:
    if len(items) == 1:
        return items[0]
    longest = max(item.hidden.shape[1] for item in items)
    hidden = [_widen(item.hidden, longest, axis=1, value=0.0) for item in items]
    mask = [_widen(item.mask, longest, axis=3, value=_PADDING) for item in items]
    index = np.concatenate([item.index for item in items])
    return Work(paddle.concat(hidden), paddle.concat(mask), index, State.join([item.state for item in items]))


def _widen(tensor: paddle.Tensor, length: int, axis: int, value: float) -> paddle.Tensor:
    """Pad one axis at its end."""
    missing = length - tensor.shape[axis]
    if not missing:
        return tensor
    shape = tensor.shape
    shape[axis] = missing
    return paddle.concat([tensor, paddle.full(shape, value, tensor.dtype)], axis)
