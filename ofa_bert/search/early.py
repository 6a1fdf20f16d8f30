"""What can be said of a search before Paddle is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ofa_bert.bundle.latency_table import LatencyTable
from ofa_bert.errors import UserError
from ofa_bert.search.costs import registry
from ofa_bert.search.costs.base import Given
from ofa_bert.search.job import RunModeChoice, SpaceLimits, SupernetSource
from ofa_bert.search.speedups.targets import TOLERANCE, Target
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.training.stated import stated


def check_search(
    source: SupernetSource,
    modes: RunModeChoice,
    limits: SpaceLimits,
    budget: Mapping[str, float],
    precision: str | None,
    speedups: Sequence[float] | None = None,
) -> None:
    """UserError for what is no supernet, a table of another model, and what even the smallest sub-model does not keep.

    budget: limits by the name of the cost. precision: of the exported file, where no table says one. speedups: targets
    of a family.
    """
    model = stated(source.model, source.model_type)
    if model is None:
        return
    space = model.record.space
    if space is None:
        raise UserError(f"`model` {model.where}: is no supernet; run_glue_ofa.py makes one")
    tables = [LatencyTable.load(path) for path in modes.latency_table or ()]
    for path, table in zip(modes.latency_table or (), tables, strict=True):
        table.check_shape(space.shape, f"`latency_table` {path}")
    searched = limits.of(space)
    depth = searched.min_depth
    smallest = SubModelConfig(tuple(range(depth)), (min(searched.heads),) * depth, (min(searched.ffn),) * depth)
    _check_speedups(speedups or (), tables, space.largest, smallest)
    by_table = {str(number): table for number, table in enumerate(tables)}
    given = Given(space.shape, {} if modes.exits else by_table, {}, precision)
    for name, limit in budget.items():
        cost = registry.cost(name)
        if tables and cost.by_precision and not cost.needs_table:
            continue  # which precision each table is of is known once its setting was read
        least = cost.of(given, smallest, None)
        if least is not None and least > limit:
            raise UserError(
                f"`{cost.limit}` {limit:g}: the smallest sub-model that may be searched needs {least:.4g}; ask for"
                " more, or train a narrower or shallower supernet"
            )


def _check_speedups(
    speedups: Sequence[float], tables: Sequence[LatencyTable], full: SubModelConfig, smallest: SubModelConfig
) -> None:
    if not speedups or not tables:
        return
    full_ms, least = tables[0].predict(full), min(table.predict(smallest) for table in tables)
    fastest = full_ms / least
    beyond = [Target(speedup) for speedup in speedups if Target(speedup).off(fastest) > TOLERANCE]
    if beyond:
        names = " ".join(f"{target.speedup:g}" for target in beyond)
        raise UserError(
            f"`speedups` {names}: the smallest sub-model that may be searched takes {least:.3g} ms where the full model"
            f" takes {full_ms:.3g}, {fastest:.3g} times as fast; ask for at most that, give `latency_table` of a faster"
            " precision too, or train a narrower or shallower supernet"
        )
