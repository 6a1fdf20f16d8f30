"""One file of examples parted into train and dev, by every command in the same way.

What a text says decides where it goes, not its row and no seed: a later command, a shuffled file and a run with another
`seed` have the same dev examples, and equal texts are on one side.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from ofa_bert.errors import UserError
from ofa_bert.tasks.task import Example, Task

MOST_SHARE = 0.5
Stratum = tuple[str, ...]  # the labels that an example has, by name: a model may know them in another order
Parts = tuple[tuple[Example, ...], tuple[Example, ...]]


class _Group(NamedTuple):
    """The rows of one text, or of one pair, which stay together."""

    rows: list[int]
    classes: Counter[str]  # in how many of the rows
    stratum: Stratum  # of one of the rows, should they contradict each other


def split_dev(examples: Sequence[Example], share: float, task: Task, path: Path) -> Parts:
    """(train, dev) in the file's order; dev has `share` of the rows of every class, or of every set of labels.

    A class stays in train with at least one row. UserError when nothing can be taken from train.
    """
    groups = _groups(examples, task)
    wanted = max(1, _rounded(len(examples), share))
    picker = _Picker(Counter(c for group in groups for c in group.classes.elements()), len(groups))
    quotas = _quotas(groups, share, wanted)
    for group in groups:
        if len(group.rows) <= quotas[group.stratum] and picker.take(group):
            quotas[group.stratum] -= len(group.rows)
    # Equal texts and classes of one row leave some of the quotas open: other groups fill them.
    for group in groups:
        if len(group.rows) <= wanted - len(picker.rows):
            picker.take(group)
    if not picker.rows:
        any(picker.take(group) for group in sorted(groups, key=lambda group: len(group.rows)))
    if not picker.rows:
        raise UserError(
            f"{path}: `dev_share` {share:g}: none of its {len(groups)} different text(s) can be spared: every class"
            " stays in train, and equal texts on one side; give more rows, or `dev_file`"
        )
    train = tuple(example for row, example in enumerate(examples) if row not in picker.rows)
    return train, tuple(examples[row] for row in sorted(picker.rows))


class _Picker:
    """Takes groups for dev while every class, and some text, stays in train."""

    def __init__(self, classes: Counter[str], groups: int) -> None:
        self.left, self.groups = classes, groups
        self.rows: set[int] = set()

    def take(self, group: _Group) -> bool:
        if self.groups == 1 or self.rows & set(group.rows):
            return False
        if any(count >= self.left[each] for each, count in group.classes.items()):
            return False
        self.groups -= 1
        self.left.subtract(group.classes)
        self.rows.update(group.rows)
        return True


def _groups(examples: Sequence[Example], task: Task) -> list[_Group]:
    """In an order that looks random and depends on the texts alone."""
    rows: dict[tuple[str, str | None], list[int]] = {}
    for row, example in enumerate(examples):
        # What has several rows shares its first text: a question of an article, a passage of a query.
        pair = example.text_pair if example.group is None else None
        key = (example.text_pair or "", None) if task.kind.windowed else (example.text, pair)  # many ask of one context
        rows.setdefault(key, []).append(row)
    found = []
    for text in sorted(rows, key=_digest):
        strata = [_stratum(examples[row], task) for row in rows[text]]
        found.append(_Group(rows[text], Counter(each for classes in strata for each in classes), min(strata)))
    return found


def _stratum(example: Example, task: Task) -> Stratum:
    return tuple(sorted(task.labels[place] for place in task.kind.classes(example.label)))


def _digest(texts: Iterable[str | None]) -> bytes:
    return hashlib.sha256(json.dumps(list(texts)).encode()).digest()


def _quotas(groups: Sequence[_Group], share: float, wanted: int) -> Counter[Stratum]:
    """How many rows of each stratum go to dev, `wanted` in all: shares rounded down, the largest remainders up."""
    sizes: Counter[Stratum] = Counter()
    for group in groups:
        sizes[group.stratum] += len(group.rows)
    exact = {stratum: size * _exact(share) for stratum, size in sizes.items()}
    quotas = Counter({stratum: int(rows) for stratum, rows in exact.items()})
    by_remainder = sorted(exact, key=lambda stratum: int(exact[stratum]) - exact[stratum])  # stable: as the groups are
    for stratum in by_remainder[: wanted - quotas.total()]:
        quotas[stratum] += 1
    return quotas


def _exact(share: float) -> Fraction:
    """As it was written: 0.1 of 30 rows are 3, which the nearest float is not."""
    return Fraction(str(share))


def _rounded(count: int, share: float) -> int:
    return int(count * _exact(share) + Fraction(1, 2))
