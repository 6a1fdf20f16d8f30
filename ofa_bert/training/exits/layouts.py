"""Where exits hang on a model and its sub-models. Imports no Paddle."""

from __future__ import annotations

from collections.abc import Mapping

from ofa_bert.errors import UserError
from ofa_bert.exits.layout import ExitLayout
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.training.exits.jobs import ExitTrainingJob


def choose_layout(job: ExitTrainingJob, sub_models: Mapping[str, SubModelConfig]) -> ExitLayout:
    """The heads that are asked for: each at a layer that some sub-model keeps before its last."""
    possible = sorted({layer for sub_model in sub_models.values() for layer in sub_model.layers[:-1]})
    if not possible:
        raise UserError(f"{job.model.model_name_or_path}: has one layer, so no exit can come before its last")
    count = job.geep_exit_num
    if count is None and job.exits == "geep" and job.exit_layers is None:
        count = max(1, (possible[-1] + 2) * 2 // 3)
    if count is not None:
        if not 1 <= count <= possible[-1] + 1:
            raise UserError(f"`geep_exit_num` {count}: must be from 1 to {possible[-1] + 1}, one less than the layers")
        return ExitLayout(job.head, tuple(layer for layer in possible if layer < count))
    wanted = possible if job.exit_layers is None else sorted(set(job.exit_layers))
    wrong = [layer for layer in wanted if layer not in possible]
    if wrong:
        raise UserError(
            f"`exit_layers` {' '.join(map(str, wrong))}: an exit hangs after one of the layers"
            f" {' '.join(map(str, possible))}; after the last one the model answers itself"
        )
    return ExitLayout(job.head, tuple(wanted))
