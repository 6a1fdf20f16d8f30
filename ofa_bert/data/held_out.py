"""The part of the training data that a run held out, so that a later one judges on that very part."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_bert.data.batches import Encoded, split_holdout
from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields
from ofa_bert.numerics import Ints

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
