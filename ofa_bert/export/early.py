"""What can be said of an export before Paddle is loaded."""

from __future__ import annotations

from pathlib import Path

from ofa_bert.data.source import DataSource
from ofa_bert.engines.plan import engine_plan
from ofa_bert.errors import UserError
from ofa_bert.export.job import ExportJob
from ofa_bert.models.record import ModelRecord, best_of
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
    if job.polishing.polish:
        _check_polishing(job, model.where, record)


def _check_targets(job: ExportJob, source: str) -> None:
    """The output directories must differ from each other and from what is read."""
    names = ("sub_model_output_dir", "static_sub_model", "hugging_face")
    paths = {name: getattr(job, name) for name in names}
    read = {Path(source).resolve(), Path(job.model_name_or_path).resolve()}
    if job.polishing.teacher:
        read |= {Path(job.polishing.teacher).resolve(), Path(best_of(job.polishing.teacher)).resolve()}
    seen = set()
    for name, value in paths.items():
        if value is None:
            continue
        resolved = Path(value).resolve()
        if resolved in read or resolved in seen:
            raise UserError(
                f"`{name}` {value}: must differ from `model_name_or_path`, `teacher` and the other output directories"
            )
        seen.add(resolved)


def _check_polishing(job: ExportJob, where: str, record: ModelRecord) -> None:
    """Only a sub-model of a supernet, without exits, is polished, and on data that somebody names."""
    polish = f"`polish` {job.polishing.polish:g}"
    if not record.is_supernet:
        raise UserError(f"{polish}: {where} is no supernet; train it further with run_glue.py or `distil`")
    if record.exits is not None:
        raise UserError(
            f"{polish}: the exits of {where} were trained on its states as they are; polish a sub-model of the supernet"
            " without exits, and train exits on that"
        )
    if not job.data.given and not DataSource.recorded(record.settings(where)).given:
        raise UserError(
            f"{polish}: needs the data that {where} was trained with, and it does not say which: give `task_name`, or"
            " `train_file` with `dev_file` or `dev_share`"
        )
