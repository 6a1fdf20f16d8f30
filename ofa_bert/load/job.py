"""What python -m ofa_bert simulate does, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ofa_bert.data.table_files import SUFFIXES
from ofa_bert.load.policies.registry import POLICIES
from ofa_bert.load.traces import MOST_REQUESTS
from ofa_bert.options import option, repeated, unused

DRAWN = ("poisson", "bursty", "day")
_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class TraceSettings:
    """When requests arrive and how long they are."""

    trace: str = option(
        "how requests arrive: poisson, bursty, day (a day in `seconds`), or a .csv, .tsv or .jsonl file with a column "
        "seconds, and length and priority where there are such",
        "poisson",
    )
    rate: tuple[float, ...] | None = option(
        "requests a second, each a load to simulate; default: 100, and a file as it is", None, above=0, most=1e6
    )
    seconds: float | None = option("how long requests arrive; default: 60, and all of a file", None, above=0, most=1e7)
    cv2: float = option(
        "squared coefficient of variation of the time between bursty arrivals; 1: poisson", 8.0, above=0, most=1000
    )
    lengths: tuple[int, ...] | None = option(
        "tokens of a request, drawn; default: the largest measured length", None, least=1
    )
    length_counts: tuple[float, ...] | None = option("how often each of `lengths` comes; default: alike", None, above=0)
    seed: int = option("of the arrivals and lengths", 1, least=0)

    @property
    def duration(self) -> float:
        return self.seconds or _SECONDS

    def problems(self) -> list[str]:
        found = repeated("rate", self.rate or ()) + repeated("lengths", self.lengths or ())
        if self.trace not in DRAWN and Path(self.trace).suffix.lower() not in SUFFIXES:
            found.append(f"`trace` {self.trace}: must be one of {', '.join(DRAWN)}, or a {', '.join(SUFFIXES)} file")
        if self.trace != "bursty":
            found += unused(self, ("cv2",), "is about `trace` bursty")
        if self.trace not in DRAWN:
            found += unused(self, ("lengths", "length_counts", "seed"), "is about drawn requests; the file has its own")
        if self.length_counts is not None and len(self.length_counts) != len(self.lengths or ()):
            found.append("`length_counts`: needs a count for each of `lengths`")
        if self.trace in DRAWN and max(self.rate or (1,)) * self.duration > MOST_REQUESTS / 2:
            found.append(f"`rate`, `seconds`: more than {MOST_REQUESTS // 2} requests; make one of them smaller")
        return found


@dataclass(frozen=True, kw_only=True)
class SimulateJob:
    """A load answered by measured points, under every policy."""

    points: tuple[str, ...] = option("what can answer: points.json, or what bench wrote (its directory or rows.json)")
    output_dir: str = option("where simulation.json, table.md and load.png go")
    deadline_ms: float = option("milliseconds from a request's arrival within which it must be answered", 50.0, above=0)
    workers: tuple[int, ...] = option(
        "workers that answer side by side; each number is simulated", (2,), least=1, most=4096
    )
    policies: tuple[str, ...] = option(
        "what decides: "
        + "; ".join(f"{name}, {kind.about}" for name, kind in POLICIES.items())
        + ". The last two take the best score, or the point that is named, as in fixed:NAME",
        tuple(POLICIES),
    )
    attainment: float = option(
        "the share in time that is wanted; for saying which load is carried", 0.99, above=0, most=1
    )
    arrivals: TraceSettings = TraceSettings()

    def problems(self) -> list[str]:
        return [
            problem for name in ("points", "workers", "policies") for problem in repeated(name, getattr(self, name))
        ]
