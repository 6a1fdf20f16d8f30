"""Structured pruning: every layer keeps its most important heads and FFN neurons. python -m ofa_bert prune."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from ofa_bert.data.encoding.token_ids import DIRECTORY
from ofa_bert.files import lock
from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.models.directories import save_model
from ofa_bert.models.model_type import with_model_type
from ofa_bert.models.supernet import whole
from ofa_bert.options import to_json
from ofa_bert.submodels.counting import count_parameters
from ofa_bert.system.provenance import versions
from ofa_bert.tasks.metrics import as_text
from ofa_bert.tasks.task import Datasets
from ofa_bert.training.evaluation import score, stock_forward, warn_below_chance
from ofa_bert.training.finetune import trained_record
from ofa_bert.training.output_directory import RESULTS
from ofa_bert.training.run_directory import check_output_dir
from ofa_bert.training.settings import LoopSettings, ModelSource
from ofa_bert.training.setup import prepare
from ofa_bert.training.students.cut import cut, fingerprint
from ofa_bert.training.students.jobs import PruneJob
from ofa_bert.training.supernet.importance import held_out_importance

logger = logging.getLogger(__name__)

KIND = "prune"


class PruneResults(TypedDict):
    task: str
    before: Mapping[str, float]
    after: Mapping[str, float]
    parameters_before: int
    parameters: int
    sub_model: Mapping[str, list[int]]
    measured_on: int
    seconds: float
    data: Mapping[str, object]
    config: Mapping[str, object]
    versions: Mapping[str, str]


def settings(job: PruneJob) -> dict[str, object]:
    """What a run in the same directory must share."""
    return {**to_json(job), "weights": fingerprint(job.model_name_or_path, job.model_type)}


@lock.writer("output_dir")
def prune(job: PruneJob, datasets: Datasets, token_cache: Path | None = None) -> PruneResults:
    """Write best/, the pruned model, not trained again. Returns what results.json says."""
    job = with_model_type(job, job.model_name_or_path)
    output, started = Path(job.output_dir), time.monotonic()
    check_output_dir(output, settings(job), job.resume, KIND)
    source = ModelSource(model_type=job.model_type, model_name_or_path=job.model_name_or_path)
    reading = LoopSettings(max_seq_length=job.max_seq_length, seed=job.seed)
    setup = prepare(source, reading, datasets, token_cache or output / DIRECTORY, job.held_out_share, "needed")
    model, task, pad_id = setup.model, setup.task, setup.tokenizer.pad_token_id
    wanted = {
        "heads": (job.target_num_heads, f"`target_num_heads` {job.target_num_heads}"),
        "ffn": (job.target_ffn_dim, f"`target_ffn_dim` {job.target_ffn_dim}"),
    }
    whole(model).check_has(job.model_name_or_path, wanted)
    model.eval()
    before = score(task, stock_forward(model), setup.dev, pad_id, label="before")
    warn_below_chance(job.model_name_or_path, task, before["score"])
    importance = held_out_importance(setup, output)
    small, about = cut(model, setup.record, importance, job.target_num_heads, job.target_ffn_dim)
    after = score(task, stock_forward(small), setup.dev, pad_id, label="after")
    logger.info("before  dev %s", as_text(before))
    logger.info("pruned  dev %s", as_text(after))
    record = trained_record(setup, job.model_type, to_json(job), **about, scores=after, more={"before": before})
    save_model(output / "best", small, setup.tokenizer, record)
    results: PruneResults = {
        "task": task.name,
        "before": before,
        "after": after,
        "parameters_before": sum(parameter.size for parameter in model.parameters()),
        "parameters": count_parameters(about["shape"], about["sub_model"]),
        "sub_model": about["sub_model"].to_json(),
        "measured_on": setup.measured.examples,
        "seconds": round(time.monotonic() - started, 1),
        "data": dict(setup.facts),
        "config": to_json(job),
        "versions": versions(),
    }
    write_json_atomic(output / RESULTS, results)
    return results
