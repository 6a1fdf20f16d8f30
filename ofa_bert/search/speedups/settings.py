"""What is said of a family of sub-models, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ofa_bert.options import option, repeated
from ofa_bert.search.costs.latency import COST as LATENCY

# Options that say otherwise what is wanted, or change the supernet for all its other sub-models.
_EXCLUDED = {
    LATENCY.limit: "the targets are the budgets",
    "min_score": "the best of each speed is wanted, whatever it scores",
    "exits": "a family is of sub-models in one piece",
    "finetune_steps": "it would change the weights that the others share; `export_model.py` can `polish` each",
}


@dataclass(frozen=True, kw_only=True)
class FamilySettings:
    """The speeds that are wanted of one search."""

    speedups: tuple[float, ...] | None = option(
        "a family: for each of these, for example 2 3 5 10, the best sub-model that is so many times as fast as the"
        " full one, exported to `output_dir`/x2, x3, ...; 1 is the full model as the first `latency_table` has it,"
        " usually FP32's, and a further table lets each sub-model have the precision that suits its target",
        None,
        above=1,
        example=", the full model's own speed",
    )

    def clashes(self, given: Mapping[str, object], cost: str | None, has_table: bool) -> list[str]:
        """What cannot be asked for beside it. given: values by option, falsy where nobody asked."""
        if not self.speedups:
            return []
        names = [f"{value:g}" for value in self.speedups]  # as their directories are called
        words = f"`speedups` {' '.join(names)}"
        found = repeated("speedups", names)
        found += [f"{words}: leave `{name}` out; {why}" for name, why in _EXCLUDED.items() if given.get(name)]
        if cost not in (None, LATENCY.name):
            found.append(f"{words}: is searched by {LATENCY.words}; leave `cost` {cost} out")
        if not has_table:
            found.append(f"{words}: needs `latency_table`; python -m ofa_bert latency makes one")
        return found
