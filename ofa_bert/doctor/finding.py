"""What the doctor says about one part of this machine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ofa_bert.reporting import one_line

State = Literal["works", "absent", "broken"]
SIGNS: Mapping[State, str] = {"works": "✔", "absent": "–", "broken": "✘"}


@dataclass(frozen=True)
class Finding:
    """state: absent is not there or not needed. said: one line. cure: what to do, of what is broken.

    facts: the same for programs, and for the parts that come after; values as JSON has them.
    """

    name: str
    state: State
    said: str
    cure: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)

    def line(self, width: int) -> str:
        """For people; names are padded to `width`."""
        cure = f" → {self.cure}" if self.cure else ""
        return one_line(f"{SIGNS[self.state]} {self.name:<{width}}  {self.said}{cure}", 1000)

    def to_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "state": self.state,
            "said": self.said,
            "cure": self.cure,
            "facts": {name: _as_json(value) for name, value in self.facts.items()},
        }


def _as_json(value: object) -> object:
    """JSON has no infinity and no NaN."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
