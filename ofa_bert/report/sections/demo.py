"""The sub-models of the demo, with what each takes on this machine."""

from __future__ import annotations

from ofa_bert.files.fields import Fields
from ofa_bert.models.record import numbers
from ofa_bert.report.run_files import RunFiles
from ofa_bert.report.sections.sub_models import Row, pictures, table
from ofa_bert.report.values import Section


def section(run: RunFiles) -> Section | None:
    if "sub_models" not in run.results:
        return None
    rows = [_row(fields) for fields in run.results.each("sub_models")]
    teacher = numbers(run.results.mapping("teacher"))
    note = f"GFLOPs are for 128 tokens. Latency: {run.results.text('measured')}."
    return Section("Sub-models", [table(rows, teacher, note), *pictures(rows, teacher, run.results.text("metric"))])


def _row(fields: Fields) -> Row:
    ms = {f"batch {batch}": value for batch, value in numbers(fields.mapping("ms")).items()}
    return Row(
        fields.text("name"), fields.whole("parameters", 0), fields.number("flops", 0),
        numbers(fields.mapping("scores")), fields.number("difference"), ms,
    )  # fmt: skip
