"""What the twin's programs show: two sides compared number by number, and the differences of sub-models to teachers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ofa_bert.reporting import table

LIMIT = 1e-4  # of a loss: relative above 1, absolute below


@dataclass(frozen=True)
class Row:
    """A loss of a sub-model in a step, by both."""

    step: int
    sub_model: str
    loss: str
    product: float
    twin: float

    @property
    def difference(self) -> float:
        return abs(self.product - self.twin) / max(1.0, abs(self.product))

    @property
    def wrong(self) -> bool:
        return not self.difference <= LIMIT  # NaN is wrong too


@dataclass(frozen=True)
class Check:
    """One number that says how far the two are apart in something else."""

    what: str
    found: float
    limit: float

    @property
    def wrong(self) -> bool:
        return not self.found <= self.limit


def loss_rows(
    names: Mapping[tuple[int, int], str],
    product: Sequence[Sequence[Mapping[str, float]]],
    twin: Sequence[Sequence[Mapping[str, float]]],
) -> list[Row]:
    """names: (step, place) -> sub-model. Losses by step, by sub-model, by name; one that a side lacks is NaN."""
    rows = []
    for step, (ours, theirs) in enumerate(zip(product, twin, strict=True)):
        for place, (own, other) in enumerate(zip(ours, theirs, strict=True)):
            rows += [
                Row(step + 1, names[step, place], loss, own.get(loss, math.nan), other.get(loss, math.nan))
                for loss in sorted({*own, *other})
            ]
    return rows


def shown_rows(rows: Iterable[Row]) -> str:
    """Markdown."""
    return table(
        [
            {
                "step": row.step,
                "sub-model": row.sub_model,
                "loss": row.loss,
                "product": f"{row.product:.6f}",
                "twin": f"{row.twin:.6f}",
                "difference": f"{row.difference:.1e}" + (" !" if row.wrong else ""),
            }
            for row in rows
        ]
    )


def shown_checks(checks: Iterable[Check]) -> str:
    return table(
        [
            {
                "compared": check.what,
                "found": f"{check.found:.2g}" + (" !" if check.wrong else ""),
                "limit": f"{check.limit:g}",
            }
            for check in checks
        ]
    )


def verdict(rows: Sequence[Row], checks: Sequence[Check]) -> str:
    """What is wrong, in a line; empty where nothing is."""
    losses = [row for row in rows if row.wrong]
    found = [f"{check.what}: {check.found:.2g} is above {check.limit:g}" for check in checks if check.wrong]
    if losses:
        first = losses[0]
        found.insert(
            0,
            f"{len(losses)} of {len(rows)} losses differ by more than {LIMIT:g}, first {first.loss} of"
            f" {first.sub_model} in step {first.step}: {first.product:.6f} and {first.twin:.6f}",
        )
    return "; ".join(found)


def seeds_table(results: Sequence[Mapping[str, Mapping[str, float]]]) -> str:
    """Markdown: of every sub-model the score and its difference to the teacher, mean ± deviation over the seeds.

    results: of each seed "scores", the main score of every sub-model, and "differences", in percent points.
    """
    rows: list[dict[str, object]] = []
    for name in results[0]["scores"]:
        rows.append(
            {
                "sub-model": name,
                "score": _mean([100 * result["scores"][name] for result in results], ""),
                "difference to the teacher": _mean([result["differences"][name] for result in results], "+"),
                "seeds": len(results),
            }
        )
    return table(rows)


def _mean(values: Sequence[float], sign: str) -> str:
    mean = f"{statistics.mean(values):{sign}.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if len(values) > 1 else mean
