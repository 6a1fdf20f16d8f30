"""Every part of the doctor in turn; none can take the others down."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ofa_bert.doctor.finding import Finding
from ofa_bert.doctor.part import REPORT, Part, Visit
from ofa_bert.doctor.registry import PARTS
from ofa_bert.errors import first_line
from ofa_bert.progress import Progress


def examine(quick: bool = False, parts: Sequence[Part] = PARTS) -> list[Finding]:
    """What each part found, in order; a quick visit leaves out those that train."""
    with tempfile.TemporaryDirectory(prefix="ofa_bert_doctor_") as workspace:
        visit = Visit(Path(workspace))
        bar = Progress(parts, unit="part", leave=False)
        for part in bar:
            bar.set_description_str(part.name)
            visit.found[part.name] = _found(part, visit, quick)
    return list(visit.found.values())


def _found(part: Part, visit: Visit, quick: bool) -> Finding:
    if quick and part.trains:
        return Finding(part.name, "absent", "not tried: a quick visit trains nothing")
    begun = time.perf_counter()
    try:
        found = part.examine(part.name, visit)
    except Exception as error:  # whatever it is: who asks what is wrong here must get an answer on the rest
        found = Finding(part.name, "broken", f"the doctor's own part failed: {_typed(error)}", REPORT)
    seconds = round(time.perf_counter() - begun, 2)
    return Finding(found.name, found.state, found.said, found.cure, {**found.facts, "seconds": seconds})


def _typed(error: Exception) -> str:
    return f"{type(error).__name__}: {first_line(error)}"
