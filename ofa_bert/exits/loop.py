"""The one loop of early exits: batches advance from exit to exit, samples that leave make room for others.

What a stage computes with is left open, as are the tensors that travel: the dynamic model has Paddle's, an exported one
NumPy's. This file needs NumPy alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ofa_bert.exits.criteria.base import State, fresh
from ofa_bert.exits.policy import Policy
from ofa_bert.numerics import Floats, Ints

POOL_BATCHES = 8
Item = TypeVar("Item")
# Paddle's or NumPy's, as the stages and the library of a kind agree; Paddle's has no type that this file may name.
Tensor: TypeAlias = Any


class Answers(NamedTuple):
    """In the data set's order: logits [N, C] float32 and the layers [N] that ran until the exit that gave them."""

    logits: NDArray[np.float32]
    layers: NDArray[np.int64]

    @classmethod
    def empty(cls, count: int, num_labels: int) -> Answers:
        return cls(np.zeros([count, num_labels], dtype=np.float32), np.zeros(count, dtype=np.int64))


class Answer(NamedTuple):
    """What a stage gives: the tensors that travel on, the exit's logits [B, C], its certainty [B] if it has one."""

    tensors: tuple[Tensor, ...]
    logits: Floats
    certainty: Floats | None


class Stage(NamedTuple):
    """From one exit that is asked to the next one. `layers` ran when it has answered, counted from the first."""

    run: Callable[..., Answer]
    layers: int


class Library(NamedTuple):
    """How tensors whose first axis is the batch are taken apart and put together."""

    take: Callable[[Tensor, Ints], Tensor]  # tensor, rows [B'] -> tensor
    join: Callable[[Sequence[Tensor], int, float], Tensor]  # tensors, axis, value: padded with it along the axis


@dataclass(frozen=True)
class Kind:
    """Which tensors travel, hidden states [B, T, H] first: the axis of each that is T, and what pads it."""

    library: Library
    padding: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Work:
    """Samples on their way: their tensors, their places in the data set [B], the policy's state."""

    kind: Kind
    tensors: tuple[Tensor, ...]
    index: Ints
    state: State

    @classmethod
    def begin(cls, kind: Kind, tensors: tuple[Tensor, ...], index: Ints) -> Work:
        return cls(kind, tensors, index, fresh(len(index)))

    def __len__(self) -> int:
        return len(self.index)

    @property
    def length(self) -> int:
        return int(self.tensors[0].shape[1])

    def select(self, rows: Ints) -> Work:
        taken = tuple(self.kind.library.take(tensor, rows) for tensor in self.tensors)
        return Work(self.kind, taken, self.index[rows], self.state.select(rows))

    def rows(self, start: int, stop: int) -> Work:
        return self if stop - start == len(self) else self.select(np.arange(start, stop))


def groups(batches: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The batches in lists of `size`, read as they are needed."""
    batches = iter(batches)
    while True:
        several = list(islice(batches, size))
        if not several:
            return
        yield several


def advance(
    work: list[Work], stages: Iterable[Stage], policy: Policy, room: Callable[[int], int], answers: Answers
) -> None:
    """Run the samples through the stages, each until the exit that the policy lets it leave at; the last answers all.

    `room`: how many samples of a length make a full batch. `work` is longest first.
    """
    *early, last = stages
    for stage in early:
        staying = []
        for item in pack(work, room):
            found = stage.run(*item.tensors)
            leave, state = policy.leave(found.logits, found.certainty, item.state)
            _note(answers, item.index[leave], found.logits[leave], stage.layers)
            moved = Work(item.kind, found.tensors, item.index, state)
            if not leave.any():
                staying.append(moved)
            elif not leave.all():
                staying.append(moved.select(np.flatnonzero(~leave)))
        work = staying
    for item in pack(work, room):
        _note(answers, item.index, last.run(*item.tensors).logits, last.layers)


def _note(answers: Answers, index: Ints, logits: Floats, layers: int) -> None:
    answers.logits[index] = logits
    answers.layers[index] = layers


def pack(work: list[Work], room: Callable[[int], int]) -> list[Work]:
    """The same samples in the same order, in as few batches as can be; untouched when nothing would be won."""
    planned: list[list[tuple[Work, int, int]]] = []
    left = 0
    for item in work:
        start = 0
        while start < len(item):
            if not left:
                planned.append([])
                left = max(1, room(item.length))
            stop = min(len(item), start + left)
            planned[-1].append((item, start, stop))
            left -= stop - start
            start = stop
    if len(planned) >= len(work):
        return work
    return [_join([item.rows(start, stop) for item, start, stop in pieces]) for pieces in planned]


def _join(items: list[Work]) -> Work:
    if len(items) == 1:
        return items[0]
    kind = items[0].kind
    columns = zip(*(item.tensors for item in items))
    tensors = tuple(kind.library.join(column, *how) for column, how in zip(columns, kind.padding))
    index = np.concatenate([item.index for item in items])
    return Work(kind, tensors, index, State.join([item.state for item in items]))
