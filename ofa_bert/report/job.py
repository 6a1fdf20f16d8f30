"""What python -m ofa_bert report does, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_bert.options import option


@dataclass(frozen=True, kw_only=True)
class ReportJob:
    """A page of a directory that a command left."""

    output_dir: str = option("the directory that a training, a search or an evaluation wrote; also without the flag")
    latency_table: tuple[str, ...] = option(
        "latency tables of the supernet, as python -m ofa_bert latency makes them: what its sub-models take by each", ()
    )
