"""What simulations found: rows, their table, which load is carried, and a picture of attainment and score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from ofa_bert.load.simulation import Outcome
from ofa_bert.reporting import pyplot, table

_LINES = ("-", "--", "-.", ":")


class Row(TypedDict):
    """One simulation. rate: requests a second. Times in milliseconds; scores None when points have none."""

    workers: int
    rate: float
    policy: str
    requests: int
    attainment: float
    score_answered: float | None
    score_all: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    utilisation: float
    late: int
    rejected: int
    answered_by: dict[str, int]
    attainment_by_priority: dict[str, float]


def row_of(outcome: Outcome, rate: float, policy: str, scored: bool) -> Row:
    p50, p95, p99 = outcome.percentiles() or (None, None, None)
    return {
        "workers": outcome.workers,
        "rate": rate,
        "policy": policy,
        "requests": outcome.requests,
        "attainment": outcome.attainment,
        "score_answered": outcome.score_answered if scored else None,
        "score_all": outcome.score_all if scored else None,
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "utilisation": outcome.utilisation,
        "late": len(outcome.answers) - len(outcome.in_time),
        "rejected": len(outcome.rejected),
        "answered_by": outcome.answered_by(),
        "attainment_by_priority": {str(key): value for key, value in outcome.attainment_by_priority().items()},
    }


def load_table(rows: Sequence[Row]) -> str:
    return table([_line(row) for row in rows])


def _line(row: Row) -> dict[str, object]:
    return {
        "workers": row["workers"],
        "requests/s": f"{row['rate']:.4g}",
        "policy": row["policy"],
        "in time %": f"{100 * row['attainment']:.2f}",
        "score answered": _number(row["score_answered"]),
        "score of all": _number(row["score_all"]),
        "p50 ms": _number(row["p50_ms"], 1),
        "p99 ms": _number(row["p99_ms"], 1),
        "busy %": f"{100 * row['utilisation']:.0f}",
        "late": row["late"],
        "rejected": row["rejected"],
    }


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def capacity_lines(rows: Sequence[Row], attainment: float) -> list[str]:
    """For each number of workers and policy: the largest load up to which all simulated loads are carried."""
    found = []
    for workers, policy in dict.fromkeys((row["workers"], row["policy"]) for row in rows):
        own = sorted(_of(rows, workers, policy), key=lambda row: row["rate"])
        carried = None
        for row in own:
            if row["attainment"] < attainment:
                break
            carried = row
        what = "none of these loads"
        if carried is not None:
            score = carried["score_answered"]
            what = f"{carried['rate']:.4g} requests/s" + ("" if score is None else f", score {score:.2f}")
        found.append(f"{workers} worker{'s' * (workers > 1)}, {policy}: {attainment:.2%} in time up to {what}")
    return found


def _of(rows: Sequence[Row], workers: int, policy: str) -> list[Row]:
    return [row for row in rows if (row["workers"], row["policy"]) == (workers, policy)]


def load_plot(rows: Sequence[Row], path: Path) -> None:
    """A column for each number of workers: above the share in time against load, below the score of what was."""
    plt = pyplot()
    counts = list(dict.fromkeys(row["workers"] for row in rows))
    policies = list(dict.fromkeys(row["policy"] for row in rows))
    scored = any(row["score_answered"] is not None for row in rows)
    size = (2.6 + 3.6 * len(counts), 6.0 if scored else 3.4)
    figure, axes = plt.subplots(
        1 + scored, len(counts), figsize=size, layout="constrained", squeeze=False, sharex="col", sharey="row"
    )
    for column, workers in enumerate(counts):
        for number, policy in enumerate(policies):
            own = sorted(_of(rows, workers, policy), key=lambda row: row["rate"])
            style = {"color": f"C{number}", "marker": "o", "markersize": 4, "label": policy}
            style |= {"linestyle": _LINES[number % len(_LINES)], "zorder": 3 - 0.1 * number}  # where curves coincide
            axes[0, column].plot([row["rate"] for row in own], [100 * row["attainment"] for row in own], **style)
            if scored:
                there = [row for row in own if row["score_answered"] is not None]
                axes[1, column].plot([row["rate"] for row in there], [row["score_answered"] for row in there], **style)
        axes[0, column].set_title(f"{workers} worker" + "s" * (workers > 1))
        axes[-1, column].set_xlabel("requests a second")
    axes[0, 0].set_ylabel("answered in time, %")
    if scored:
        axes[1, 0].set_ylabel("mean score of these")
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
