"""python -m ofa_bert latency: measure this device's latency table and say how good it is."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ofa_bert.bundle.latency_table import LatencyTable
from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields
from ofa_bert.latency.device import Measurer, measure_sub_models
from ofa_bert.latency.exits import measure_exits
from ofa_bert.latency.fit import calibrate
from ofa_bert.latency.job import LatencyJob
from ofa_bert.models.directories import load_model
from ofa_bert.models.encoder import longest_input, shape_of
from ofa_bert.models.exits.heads import load_exits
from ofa_bert.models.model_type import with_model_type
from ofa_bert.models.pretrained import locate
from ofa_bert.models.record import best_of
from ofa_bert.submodels.values import SubModelConfig

logger = logging.getLogger(__name__)

GOAL_ERROR, GOAL_RANKS = 0.05, 0.95


def measure_table(job: LatencyJob) -> LatencyTable:
    """Measure, write `output`, and warn when the table predicts its held-out sub-models badly."""
    job = with_model_type(job, job.model)
    where, how = best_of(job.model), job.setting
    # What lacks a classifier gets one: its width hardly costs time.
    fresh = None if locate(where, job.model_type).record.task else 2
    model, _, record = load_model(where, job.model_type, num_labels=fresh)
    if record.is_sub_model:
        raise UserError(f"`model` {job.model}: is an exported sub-model; a table is made for a full model")
    if how.length > longest_input(model):
        raise UserError(f"`length` {how.length}: the model has positions for {longest_input(model)} tokens")
    device = Measurer(how.device, how.backend, how.precision, how.threads, how.batch, how.length, how.repeats)
    shape = shape_of(model)

    def measure(models: Sequence[SubModelConfig]) -> list[float]:
        return measure_sub_models(device, job.model_type, model.config, shape, models)

    table = calibrate(shape, measure, job.fit.min_width, device.setting(), job.fit.models, job.fit.check)
    if record.exits is not None:
        model.eval()
        table = measure_exits(device, model, load_exits(where, record, model), table)
    table.save(job.output)
    median, ranks = _of_error(table, "median_error"), _of_error(table, "rank_correlation")
    if median > GOAL_ERROR or ranks < GOAL_RANKS:
        logger.warning(
            "the table is off by %.1f %% (median) with rank correlation %.3f: the machine may be busy; measure again"
            " when it is idle, or with more `repeats`",
            100 * median,
            ranks,
        )
    return table


def _of_error(table: LatencyTable, name: str) -> float:
    value = table.error[name]
    return value if isinstance(value, float) else float("nan")


# What the columns of `printable` mean, for `reporting.legend`.
COLUMNS = {
    "held-out sub-model": "one that the table was not fitted to",
    "measured ms": "of a call, the median",
    "predicted ms": "by the table",
    "error": "of the prediction, as a share of what was measured",
}


def printable(table: LatencyTable) -> list[dict[str, str]]:
    """The held-out sub-models, predicted and measured."""
    rows = []
    for row in (Fields(row, "the latency table: measured") for row in table.measured):
        if row.switch("held_out"):
            sub_model = row.made("sub_model", SubModelConfig.from_json)
            ms, predicted = row.number("ms"), row.number("predicted_ms")
            rows.append(
                {
                    "held-out sub-model": f"{sub_model.depth} layers, {sum(sub_model.heads)} heads,"
                    f" {sum(sub_model.ffn)} neurons",
                    "measured ms": f"{ms:.2f}",
                    "predicted ms": f"{predicted:.2f}",
                    "error": f"{predicted / ms - 1:+.1%}",
                }
            )
    return rows
