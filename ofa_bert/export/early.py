"""What can be said of an export before Paddle is loaded."""

from __future__ import annotations

from pathlib import Path

from ofa_bert.engines.plan import engine_plan
from ofa_bert.errors import UserError
from ofa_bert.export.job import ExportJob
from ofa_bert.models.record import best_of
from ofa_bert.training.settings import DEFAULT_LENGTH
from ofa_bert.training.stated import stated


def check_export(job: ExportJob) -> None:
    """UserError for a model without a task, a sub-model that it was not trained for, and targets that clash."""
    _check_targets(job, best_of(job.model_name_or_path))
    model = stated(job.model_name_or_path, job.model_type)
    if model is None:
        return
    record = model.record
    if record.shape is None or record.task is None:
        raise UserError(
            f"{model.where}: was not made by run_glue.py or run_glue_ofa.py; it says neither task nor shape"
        )
    job.choice.of(model.where, record, record.shape, say=False)  # the export itself says it
    engine_plan(job.engines, job.precision, job.max_seq_length or record.max_seq_length or DEFAULT_LENGTH)
    if record.exits is None and job.exit_policy:
        raise UserError(f"`exit_policy` {job.exit_policy}: {model.where} has no exits for it; leave it out")


def _check_targets(job: ExportJob, source: str) -> None:
    """The two output directories must differ from each other and from what is read."""
    paths = {"sub_model_output_dir": job.sub_model_output_dir, "static_sub_model": job.static_sub_model}
    read = {Path(source).resolve(), Path(job.model_name_or_path).resolve()}
    seen = set()
    for name, value in paths.items():
        if value is None:
            continue
        resolved = Path(value).resolve()
        if resolved in read or resolved in seen:
            raise UserError(
                f"`{name}` {value}: must differ from `model_name_or_path` and from the other output directory"
            )
        seen.add(resolved)
