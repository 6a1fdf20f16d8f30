"""The shapes that an engine was compiled for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ofa_bert.bundle.manifest import INPUTS
from ofa_bert.errors import UserError
from ofa_bert.runtime.nvidia.library import Foreign


class Range(NamedTuple):
    """One profile: (rows, tokens) at least and at most, the same for both inputs."""

    least: tuple[int, int]
    most: tuple[int, int]

    @classmethod
    def of(cls, engine: Foreign, index: int) -> Range:
        """UserError for a profile that differs between the inputs."""
        found = {_ends(engine.get_tensor_profile_shape(name, index)) for name in INPUTS}
        if len(found) > 1:
            raise UserError(f"the engine's profile {index} has one range for {' and another for '.join(INPUTS)}")
        return found.pop()

    def computed(self, rows: int, tokens: int) -> int | None:
        """Tokens, padding included, that are computed for so many; None where a text is too long for it."""
        if tokens > self.most[1]:
            return None
        whole, rest = divmod(rows, self.most[0])
        filled = whole * self.most[0] + (max(rest, self.least[0]) if rest else 0)
        return filled * max(tokens, self.least[1])


def _ends(shapes: Sequence[Sequence[int]]) -> Range:
    least, _, most = (tuple(shape) for shape in shapes)
    return Range((least[0], least[1]), (most[0], most[1]))


def choose(ranges: Sequence[Range], rows: int, tokens: int) -> int | None:
    """The profile that computes the least for such a batch, of equal ones the narrowest: its kernels were chosen
    for shapes near to it. None where none takes texts of that length.
    """
    costs = [(each.computed(rows, tokens), each.most, index) for index, each in enumerate(ranges)]
    fits = [(cost, most, index) for cost, most, index in costs if cost is not None]
    return min(fits)[-1] if fits else None
