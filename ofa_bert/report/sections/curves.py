"""How the training went: losses, learning rate and scores over its steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ofa_bert.report import charts
from ofa_bert.report.run_files import RunFiles
from ofa_bert.report.values import Chart, Section
from ofa_bert.training.logs.moment import Moment

_MOST_LINES = 8  # in one picture
STEPS = "optimizer steps"

Series = dict[str, list[tuple[float, float]]]


def section(run: RunFiles) -> Section | None:
    drawn = [*_losses(run.moments), *_scores(run)]
    return Section("Training", drawn) if drawn else None


def _losses(moments: Sequence[Moment]) -> list[Chart]:
    logged = [moment for moment in moments if moment.losses]
    if not logged:
        return []
    names = list(dict.fromkeys(name for moment in logged for name in moment.losses))
    losses = {
        name: [(moment.step, moment.losses[name]) for moment in logged if name in moment.losses] for name in names
    }
    rates = [(moment.step, moment.learning_rate) for moment in logged if moment.learning_rate is not None]
    found = [charts.lines("losses", "Loss", losses, (STEPS, "mean since the point before"), far=True)]
    if rates:
        found.append(charts.lines("learning_rate", "Learning rate", {"rate": rates}, (STEPS, "learning rate")))
    return found


def _scores(run: RunFiles) -> list[Chart]:
    series, left_out = score_series(run)
    if not series:
        return []
    best = run.best_step
    teacher = run.results.value.get("teacher")
    level = None
    if isinstance(teacher, dict) and "score" in teacher:
        level = (run.results.inner("teacher").number("score"), "teacher")
    title = "Score of each evaluation"
    axis = "score" if len(series) > 1 and run.metric in series else run.metric  # metrics side by side, or one of many
    drawn = charts.lines("scores", title, series, (STEPS, axis), None if best is None else (best, "best/"), level)
    note = f"{left_out} further lines are in log.jsonl." if left_out else ""
    return [Chart(drawn.name, drawn.title, drawn.draw, drawn.size, note)]


def score_series(run: RunFiles) -> tuple[Series, int]:
    """(the lines that a picture has room for, how many there are beside them).

    Of several sub-models or exits the score of each; of one model its metrics.
    """
    every: Series = {}
    for step, scores in run.evaluations:
        for name, value in scores.items():
            every.setdefault(name, []).append((step, value))
    chosen = _first_that_finds(
        every,
        lambda name: "/" in name and name.count("/") == 1 and name.endswith("/score"),
        lambda name: "/" not in name and name != "score",
        lambda name: "/" not in name,
        lambda name: name.endswith("/loss"),
        lambda name: True,
    )
    shown = dict(list(chosen.items())[:_MOST_LINES])
    return {name.removesuffix("/score"): line for name, line in shown.items()}, len(chosen) - len(shown)


def _first_that_finds(every: Series, *wanted: Callable[[str], bool]) -> Series:
    for fits in wanted:
        found = {name: line for name, line in every.items() if fits(name)}
        if found:
            return found
    return {}
