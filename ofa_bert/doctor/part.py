"""What a part of the doctor is, is given and gives. A new one is a function in parts/ and a line in registry.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

from ofa_bert.doctor.finding import Finding
from ofa_bert.system import child_process

Answer: TypeAlias = dict[str, object]


@dataclass
class Visit:
    """One run of the doctor: what was found so far, by part, and what parts hand to each other."""

    workspace: Path
    found: dict[str, Finding] = field(default_factory=dict)
    exported: Answer = field(default_factory=dict)  # format -> precision -> files

    def facts(self, part: str) -> Mapping[str, object]:
        """What a part found; empty when it has not run or found nothing."""
        return self.found[part].facts if part in self.found else {}

    def works(self, part: str) -> bool:
        return part in self.found and self.found[part].state == "works"

    def lacks(self, name: str, *parts: str) -> Finding | None:
        """For a part called `name` that needs others: that it cannot be tried, when one of them does not work."""
        for part in parts:
            if not self.works(part):
                broken = part in self.found and self.found[part].state == "broken"
                return Finding(name, "absent", f"not tried: {part} is broken" if broken else f"needs {part}")
        return None

    def ask(self, probe: str, request: Mapping[str, object], seconds: float) -> Answer:
        """What a module of probes/ answers in a process of its own: a library that crashes takes that one down."""
        return child_process.ask(f"ofa_bert.doctor.probes.{probe}", request, seconds)


class Part(NamedTuple):
    """trains: it is left out of a quick visit."""

    name: str
    examine: Callable[[str, Visit], Finding]  # (its name, the visit)
    trains: bool = False


REPORT = "report it with the file of --json: this is a fault of ofa_bert, or one that it should know"
