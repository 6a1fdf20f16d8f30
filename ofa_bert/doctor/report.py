"""What the doctor found, for people and for a bug report."""

from __future__ import annotations

from collections.abc import Sequence

from ofa_bert.doctor.finding import SIGNS, Finding
from ofa_bert.system.machine import machine
from ofa_bert.system.provenance import versions

_LEGEND = f"{SIGNS['works']} works, {SIGNS['absent']} not there or not needed, {SIGNS['broken']} broken"
FORMAT = 1


def as_text(findings: Sequence[Finding]) -> str:
    """A line for each part, and the legend."""
    width = max(len(found.name) for found in findings)
    return "\n".join([*(found.line(width) for found in findings), "", _LEGEND])


def broken(findings: Sequence[Finding]) -> list[str]:
    """The names of the parts that are broken."""
    return [found.name for found in findings if found.state == "broken"]


def as_json(findings: Sequence[Finding]) -> dict[str, object]:
    """The same with every fact."""
    return {
        "format": FORMAT,
        "machine": machine("cpu"),
        "versions": versions(),
        "broken": broken(findings),
        "findings": [found.to_json() for found in findings],
    }
