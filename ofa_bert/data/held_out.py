"""The part of the training data that is held out, and which one a run held out, for a later one to judge on that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields
from ofa_bert.numerics import Ints

MOST_HELD_OUT = 1024
_GIVE = "give the data that it was trained with"


@dataclass(frozen=True)
class HeldOut:
    """How many training examples, drawn with which seed, and which: the digest of `Encoded.digest`, "" of before."""

    count: int
    seed: int
    sha256: str = ""

    @classmethod
    def of(cls, held: Encoded, seed: int) -> HeldOut:
        return cls(held.examples, seed, held.digest())

    def to_json(self) -> dict[str, object]:
        return {"count": self.count, "seed": self.seed, "sha256": self.sha256}

    @classmethod
    def read(cls, fields: Fields) -> HeldOut:
        return cls(fields.whole("count", least=0), fields.whole("seed", least=0), fields.text("sha256", default=""))

    def split(self, where: str, total: int) -> tuple[Ints, Ints]:
        """(rest, held out): indices int64 of `total` training examples, as the training of `where` split them.

        UserError when there are too few for it.
        """
        if not 0 < self.count < total:
            raise UserError(
                f"{where}: was trained with {self.count} held-out examples, and the training data have {total}; {_GIVE}"
            )
        return split_holdout(total, self.count, self.seed)

    def check(self, where: str, held: Encoded) -> None:
        """UserError for other data, or the same in another order: the part would hold examples that were trained on."""
        if self.sha256 not in ("", held.digest()):
            raise UserError(
                f"{where}: was trained with other training data: the {self.count} examples held out from them, which"
                f" nothing was trained on, cannot be found in these; {_GIVE}"
            )


def held_out_count(n: int, share: float) -> int:
    """How many of n training examples a share holds out: at least one, at most what measuring needs."""
    return min(MOST_HELD_OUT, max(1, int(n * share)))


def split_holdout(n: int, count: int, seed: int) -> tuple[Ints, Ints]:
    """(rest, held): sorted int64 indices that part range(n), `count` of them held out by chance.

    Raises UserError when nothing would be left to train on.
    """
    if not 0 <= count < n:
        raise UserError(f"cannot hold out {count} of {n} training examples; give a number from 0 to {n - 1}")
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[count:]), np.sort(order[:count])
