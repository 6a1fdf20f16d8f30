"""Which rows of a data set each example has, where an example has several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ofa_bert.numerics import Ints
from ofa_bert.tasks.groups import places

MOST = 16  # rows of one example in a training step: of longer lists others are drawn in every epoch


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
