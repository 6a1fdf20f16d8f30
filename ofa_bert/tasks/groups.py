"""Rows of a model's input that belong to one example: the choices of a question, the passages of a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ofa_bert.numerics import Array, Bools, Ints

# Stands where an example has fewer rows than another. Finite, so that 0 * PAD is 0, and below anything a model says.
PAD = float(np.finfo(np.float32).min)
MOST = 16  # rows of one example in a training step: of longer lists others are drawn in every epoch


class Places(NamedTuple):
    """Which rows each example has, in their order: rows [E, C] int64, real [E, C] bool where C is the most of any."""

    rows: Ints
    real: Bools


def places(group: Ints) -> Places:
    """group [N] int64: the example of each row; examples are in the order of their numbers."""
    _, which, counts = np.unique(group, return_inverse=True, return_counts=True)
    which = which.reshape(-1)  # NumPy 2.0 gives it another shape
    order = np.argsort(which, kind="stable")
    starts = np.cumsum(counts) - counts
    column = np.arange(len(group)) - np.repeat(starts, counts)  # of each row, in that order
    rows = np.zeros([len(counts), counts.max(initial=0)], np.int64)
    real = np.zeros(rows.shape, bool)
    rows[which[order], column], real[which[order], column] = order, True
    return Places(rows, real)


def regrouped(values: Array, group: Ints) -> Array:
    """[E, C] of one number a row, [N] or [N, 1]; PAD where an example has no such row."""
    found = places(group)
    return np.where(found.real, np.asarray(values).reshape(len(group))[found.rows], np.float32(PAD))


def is_real(values: Array) -> Bools:
    """Where `regrouped` put no PAD."""
    return np.asarray(values) > PAD


def numbered(names: list[str]) -> list[int]:
    """The same number for the same name, from 0 in the order in which they come first."""
    known: dict[str, int] = {}
    return [known.setdefault(name, len(known)) for name in names]


@dataclass(frozen=True)
class ExampleRows:
    """Rows [C_i] int64 of each of E examples, in the order of their numbers."""

    each: Sequence[Ints]

    def __len__(self) -> int:
        return len(self.each)

    @classmethod
    def of(cls, group: Ints) -> ExampleRows:
        """group [N] int64: the example of each row."""
        found = places(group)
        return cls([rows[real] for rows, real in zip(found.rows, found.real)])

    @classmethod
    def alone(cls, count: int) -> ExampleRows:
        """Every row is an example."""
        return cls(list(np.arange(count, dtype=np.int64)[:, None]))

    def longest(self, lengths: Ints) -> Ints:
        """[E]: of rows with these lengths [N] the longest of each example."""
        return np.asarray([lengths[rows].max() for rows in self.each], dtype=np.int64)

    def rows(self, examples: Ints, seed: Sequence[int]) -> tuple[Ints, Ints]:
        """(rows [B], the place in `examples` that each is of [B]); of more than MOST rows those that `seed` draws."""
        found = [self._some(int(example), seed) for example in examples]
        which = np.repeat(np.arange(len(found)), [len(rows) for rows in found])
        return np.concatenate(found), which

    def _some(self, example: int, seed: Sequence[int]) -> Ints:
        rows = self.each[example]
        if len(rows) <= MOST:
            return rows
        drawn = np.random.default_rng([*seed, example]).choice(len(rows), MOST, replace=False)
        return rows[np.sort(drawn)]
