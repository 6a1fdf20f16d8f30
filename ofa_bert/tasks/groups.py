"""Rows of a model's input that belong to one example: the choices of a question, the passages of a query."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ofa_bert.numerics import Array, Bools, Ints

# Stands where an example has fewer rows than another. Finite, so that 0 * PAD is 0, and below anything a model says.
PAD = float(np.finfo(np.float32).min)


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
