"""Token ids as padded batches: length buckets, and the part of a batch that one rank sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.numerics import Array, Floats, Ints
from ofa_bert.tasks.groups import ExampleRows

POOL_BATCHES = 50  # batches sorted by length together: enough to hardly pad, few enough to stay shuffled


@dataclass(frozen=True)
class Batch:
    """Padded to its own longest example."""

    input_ids: Ints  # [B, T] int64
    token_type_ids: Ints  # [B, T] int64
    labels: Array  # [B] int64 or float32, [B, C] float32, [B, T] int64
    index: Ints  # [B] int64, positions in the data set
    label_weights: Floats | None = None  # [B] float32: 0 for a changed text, whose label counts not; None: all alike
    group: Ints | None = None  # [B] int64, the example of each row, where an example has several


class TrainBatches:
    """Shuffled batches of one rank, the same for the same (seed, epoch).

    A global batch has batch_size * world examples and rank r takes every world-th of it. So two ranks with
    batch_size b see together what one process with 2b sees, of about equal lengths. The last global batch
    is filled up from the start of the epoch's shuffle: every rank always holds batch_size examples.
    An example of several rows stays together: a batch then has more rows.
    """

    def __init__(
        self,
        encoded: Encoded,
        batch_size: int,
        seed: int,
        pad_id: int,
        rank: int = 0,
        world: int = 1,
        bucket: bool = True,
        pad_type_id: int = 0,
    ):
        if len(encoded) == 0 or batch_size < 1 or not 0 <= rank < world:
            raise ValueError(f"{len(encoded)} examples, batch_size {batch_size}, rank {rank} of {world}")
        self.encoded = encoded
        self.batch_size = batch_size
        self.seed = seed
        self.pad_id = pad_id
        self.pad_type_id = pad_type_id
        self.rank = rank
        self.world = world
        self.bucket = bucket
        self._rows = None if encoded.group is None else ExampleRows.of(encoded.group)
        self._lengths = _lengths(encoded) if self._rows is None else self._rows.longest(_lengths(encoded))  # [E]
        self.steps_per_epoch = -(-len(self._lengths) // (batch_size * world))

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch `number` (counted from 0) without the first `start` of them."""
        for indices in self._plan(number)[start:]:
            mine, group = indices[self.rank :: self.world], None  # [batch_size]
            if self._rows is not None:
                mine, group = self._rows.rows(mine, (self.seed, number))
            yield _pad(self.encoded, mine, self.pad_id, self.pad_type_id, group)

    def _plan(self, number: int) -> Ints:
        """[steps, batch_size * world] int64 indices."""
        rng = np.random.default_rng([self.seed, number])
        size = self.batch_size * self.world
        # np.resize repeats the shuffle from its start, as often as a tiny data set needs.
        order = np.resize(rng.permutation(len(self._lengths)), self.steps_per_epoch * size)
        if not self.bucket:
            return order.reshape(-1, size)
        pools = np.split(order, range(POOL_BATCHES * size, len(order), POOL_BATCHES * size))
        order = np.concatenate([pool[np.argsort(self._lengths[pool], kind="stable")] for pool in pools])
        return rng.permutation(order.reshape(-1, size), axis=0)


def eval_batches(encoded: Encoded, batch_size: int, pad_id: int, pad_type_id: int = 0) -> Iterator[Batch]:
    """Every example once, longest first: a batch that does not fit in memory fails at once, not at the end.

    `Batch.index` says where each example stood. The rows of an example need not stay together: see `example_batches`.
    """
    order = np.argsort(-_lengths(encoded), kind="stable")
    for start in range(0, len(order), batch_size):
        yield _pad(encoded, order[start : start + batch_size], pad_id, pad_type_id)


def example_batches(encoded: Encoded, batch_size: int, pad_id: int) -> Iterator[Batch]:
    """Every example once, in order, with its rows together, of long lists as many as training takes."""
    every = ExampleRows.alone(len(encoded)) if encoded.group is None else ExampleRows.of(encoded.group)
    for start in range(0, len(every), batch_size):
        rows, which = every.rows(np.arange(start, min(start + batch_size, len(every))), (0,))
        yield _pad(encoded, rows, pad_id, 0, which)


def plan_batches(lengths: Ints, rows: int, tokens: int) -> list[Ints]:
    """Indices [B_i] that part range(N) into batches, longest texts first, within `rows` and `tokens` (but one row)."""
    order = np.argsort(-lengths, kind="stable")
    groups: list[Ints] = []
    start = 0
    while start < len(order):
        count = max(1, min(rows, tokens // max(1, int(lengths[order[start]]))))
        groups.append(order[start : start + count])
        start += count
    return groups


def _lengths(encoded: Encoded) -> Ints:
    return np.asarray([len(ids) for ids in encoded.input_ids], dtype=np.int64)  # [N]


def _pad(encoded: Encoded, indices: Ints, pad_id: int, pad_type_id: int, group: Ints | None = None) -> Batch:
    longest = max(len(encoded.input_ids[i]) for i in indices)
    input_ids = np.full((len(indices), longest), pad_id, dtype=np.int64)  # [B, T]
    token_type_ids = np.full((len(indices), longest), pad_type_id, dtype=np.int64)  # [B, T]
    for row, i in enumerate(indices):
        length = len(encoded.input_ids[i])
        input_ids[row, :length] = encoded.input_ids[i]
        token_type_ids[row, :length] = encoded.token_type_ids[i]
    labels = encoded.labels[indices]
    if encoded.per_token:
        labels = labels[:, :longest]
    return Batch(input_ids, token_type_ids, labels, np.asarray(indices, dtype=np.int64), group=group)
