"""What a cost of a sub-model declares, and what it may be computed from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ofa_bert.bundle.latency_table import LatencyTable
from ofa_bert.search.run_modes import Run
from ofa_bert.submodels.values import ModelShape, SubModelConfig


@dataclass(frozen=True)
class Given:
    """What costs are computed from.

    tables: by precision. files: in which precision a table's device has its files. precision: of the file that is to be
    exported where no table says one; None when nobody asked.
    """

    shape: ModelShape
    tables: Mapping[str, LatencyTable] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    precision: str | None = None


# None when what is given says nothing of it. With a run, the cost of running the sub-model so; without, of the
# cheapest way to run it in one piece.
Of = Callable[[Given, SubModelConfig, "Run | None"], "float | None"]


@dataclass(frozen=True)
class Cost:
    """A number of a sub-model that a search can minimise and limit.

    limit: the option that is its budget. words: what messages call it. column, shown: its heading and values in tables.
    axis, scale: of a plot, and by what values are divided there. by_precision, by_exits: whether it depends on the
    precision, and on where samples leave, so that these can be searched by it. default: taken where nothing says what
    to minimise, in the registry's order.
    """

    name: str
    limit: str
    words: str
    column: str
    axis: str
    shown: Callable[[float], str]
    of: Of
    scale: float = 1.0
    needs_table: bool = False
    by_precision: bool = False
    by_exits: bool = False
    default: bool = False
