"""Structured pruning: every layer keeps its most important heads and FFN neurons. python -m ofa_bert prune."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from ofa_bert.files import lock
from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.models.directories import save_model
from ofa_bert.models.record import describe
from ofa_bert.options import to_json
from ofa_bert.submodels.counting import count_parameters
from ofa_bert.submodels.values import ModelShape, SubModelConfig
from ofa_bert.system.provenance import versions
from ofa_bert.tasks.metrics import as_text
from ofa_bert.tasks.task import Datasets
from ofa_bert.training.evaluation import score, stock_forward
from ofa_bert.training.run_directory import RESULTS, check_output_dir
from ofa_bert.training.setup import prepare
from ofa_bert.training.students.config import PruneConfig, as_training
from ofa_bert.training.students.cut import check_size, cut, fingerprint
from ofa_bert.training.supernet.importance import held_out_importance

logger = logging.getLogger(__name__)

KIND = "prune"


def settings(config: PruneConfig) -> dict[str, Any]:
    """What a run in the same directory must share."""
    return {**to_json(config), "weights": fingerprint(config.model_name_or_path, config.model_type)}


@lock.writer("output_dir")
def prune(config: PruneConfig, datasets: Datasets, token_cache: Path | None = None) -> dict[str, Any]:
    """Write best/, the pruned model, not trained again. Returns what results.json says."""
    output, started = Path(config.output_dir), time.monotonic()
    check_output_dir(output, settings(config), config.resume, KIND)
    setup = prepare(as_training(config, config.model_name_or_path), datasets, config.held_out_share, False, token_cache)
    model, task, pad_id = setup.model, setup.task, setup.tokenizer.pad_token_id
    flags = {
        "heads": (config.target_num_heads, f"--target_num_heads {config.target_num_heads}"),
        "ffn": (config.target_ffn_dim, f"--target_ffn_dim {config.target_ffn_dim}"),
    }
    check_size(model, config.model_name_or_path, flags)
    model.eval()
    before = score(task, stock_forward(model), setup.dev, pad_id, label="before")
    importance = held_out_importance(setup, output)
    small, about = cut(model, setup.meta, importance, config.target_num_heads, config.target_ffn_dim)
    after = score(task, stock_forward(small), setup.dev, pad_id, label="after")
    logger.info("before  dev %s", as_text(before))
    logger.info("pruned  dev %s", as_text(after))
    meta = describe(task, config, **about, scores=after, score=after["score"], before=before)
    save_model(output / "best", small, setup.tokenizer, meta)
    shape, sub_model = ModelShape.from_json(about["shape"]), SubModelConfig.from_json(about["sub_model"])
    results = {
        "task": task.name,
        "before": before,
        "after": after,
        "parameters_before": sum(parameter.size for parameter in model.parameters()),
        "parameters": count_parameters(shape, sub_model),
        "sub_model": sub_model.to_json(),
        "measured_on": len(setup.held_out),
        "seconds": round(time.monotonic() - started, 1),
        "config": to_json(config),
        "versions": versions(),
    }
    write_json_atomic(output / RESULTS, results)
    return results
