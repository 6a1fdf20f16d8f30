"""A supernet's sub-models: their scores, sizes and, where one is known, their latency; the teacher beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields
from ofa_bert.models.record import numbers
from ofa_bert.report import charts
from ofa_bert.report.run_files import RunFiles
from ofa_bert.report.values import Cell, Chart, Number, Section, Table, difference, measure, metrics_of, score
from ofa_bert.submodels.values import SubModelConfig


@dataclass(frozen=True)
class Row:
    """A sub-model. milliseconds: by what they were measured or predicted for."""

    name: str
    parameters: int
    flops: float
    scores: Mapping[str, float]
    difference: float
    milliseconds: Mapping[str, float]


def section(run: RunFiles) -> Section | None:
    if not isinstance(run.results.value.get("best"), list):
        return None
    rows = [_row(fields, run) for fields in run.results.each("best")]
    teacher = numbers(run.results.mapping("teacher", default={}))
    step = run.results.whole("best_step", default=None)
    chosen = "" if step is None else f" After step {step}, which was chosen on dev: that flatters its scores there."
    note = f"GFLOPs are for one text of 128 tokens.{chosen}"
    parts: list[Table | Chart | str] = [table(rows, teacher, note), *pictures(rows, teacher, run.metric)]
    if not any(row.milliseconds for row in rows):
        parts.append(
            "No latency is known here: a latency table of a device, given to ofa-bert report, adds what it predicts."
        )
    return Section("Sub-models", parts)


def _row(fields: Fields, run: RunFiles) -> Row:
    sub_model = fields.made("sub_model", SubModelConfig.from_json)
    milliseconds = {}
    for path, latency in run.tables.items():
        try:
            milliseconds[_setting(latency.setting)] = latency.predict(sub_model)
        except UserError as error:
            raise UserError(f"`latency_table` {path}: is not of this supernet: {error}") from error
    return Row(
        fields.text("name"), fields.whole("parameters", 0), fields.number("flops", 0),
        numbers(fields.mapping("scores")), fields.number("difference"), milliseconds,
    )  # fmt: skip


def _setting(setting: Mapping[str, object]) -> str:
    """What a latency table is of, in a few words."""
    said = [setting.get(name) for name in ("backend", "precision", "device")]
    more = [f"{name} {setting[name]}" for name in ("batch", "length") if name in setting]
    return ", ".join([" ".join(str(word) for word in said if word), *more]) or "latency table"


def table(rows: Sequence[Row], teacher: Mapping[str, float], note: str) -> Table:
    """The teacher first, which has the largest one's size."""
    metrics = metrics_of([*(row.scores for row in rows), *([teacher] if teacher else [])])
    timed = list(dict.fromkeys(name for row in rows for name in row.milliseconds))
    columns = ["sub-model", "parameters", "GFLOPs", *metrics, "to teacher", *(f"ms ({name})" for name in timed)]
    cells: list[list[Cell]] = []
    if teacher:
        cells.append(["teacher", None, None, *_scores(teacher, metrics), None, *(None for _ in timed)])
    for row in rows:
        ms = [_measured(row.milliseconds.get(name)) for name in timed]
        size = [
            Number(row.parameters, f"{row.parameters / 1e6:.2f} M"),
            Number(row.flops, measure(row.flops / 1e9).shown),
        ]
        cells.append([row.name, *size, *_scores(row.scores, metrics), difference(row.difference), *ms])
    return Table(columns, cells, note)


def pictures(rows: Sequence[Row], teacher: Mapping[str, float], metric: str) -> list[Chart]:
    """The score over parameters, over GFLOPs, and over every latency that is known."""
    level = (teacher["score"], "teacher") if "score" in teacher else None
    axes = {"parameters": "parameters, million", "gflops": "GFLOPs, 128 tokens"}
    sizes = {
        "parameters": [(row, row.parameters / 1e6) for row in rows],
        "gflops": [(row, row.flops / 1e9) for row in rows],
    }
    for number, name in enumerate(dict.fromkeys(name for row in rows for name in row.milliseconds)):
        axes[f"ms{number}"] = f"milliseconds ({name})"
        sizes[f"ms{number}"] = [(row, row.milliseconds[name]) for row in rows if name in row.milliseconds]
    titles = {"parameters": "Score by parameters", "gflops": "Score by operations"}
    return [
        charts.points(
            f"by_{size}", titles.get(size, "Score by latency"), _by_depth(places), (axes[size], metric), level
        )
        for size, places in sizes.items()
    ]  # fmt: skip


def _by_depth(places: Sequence[tuple[Row, float]]) -> dict[str, list[charts.Named]]:
    """Groups of equal depth, as the names w0.5_d1 say it; all in one where they do not."""
    found: dict[str, list[charts.Named]] = {}
    for row, place in places:
        _, _, depth = row.name.partition("_d")
        group = found.setdefault(f"depth {depth}" if depth else "sub-models", [])
        group.append(charts.Named(place, row.scores.get("score", float("nan")), row.name))
    return found


def _scores(scores: Mapping[str, float], metrics: Sequence[str]) -> list[Cell]:
    return [score(scores[name]) if name in scores else None for name in metrics]


def _measured(value: float | None) -> Cell:
    return None if value is None else measure(value)
