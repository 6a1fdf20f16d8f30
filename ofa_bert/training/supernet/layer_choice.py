"""Which layers a shallower sub-model keeps, measured instead of assumed."""

from __future__ import annotations

import numpy as np
import paddle
from paddle import nn

from ofa_bert.data.batches import Batch, Encoded
from ofa_bert.models.encoder import shape_of
from ofa_bert.models.supernet import forward
from ofa_bert.progress import Progress
from ofa_bert.submodels.values import scaled, uniform
from ofa_bert.tasks.kinds.base import TaskKind
from ofa_bert.training import distributed
from ofa_bert.training.evaluation import predict


def layers_by_importance(
    model: nn.Layer, encoded: Encoded, pad_id: int, depth_mults: tuple[float, ...], kind: TaskKind
) -> tuple[tuple[int, ...], ...]:
    """The layers to keep for each depth: from all, drop one at a time the layer whose loss hurts the outputs least.

    The hurt is the kind's distance of the shallower model's outputs from the full model's on `encoded`, so no label is
    used.
    """
    shape = shape_of(model)
    wanted = [scaled(shape.num_layers, depth) for depth in depth_mults]

    def outputs(layers: tuple[int, ...]) -> np.ndarray:
        sub_model = uniform(shape, 1.0, layers)

        def run(batch: Batch) -> paddle.Tensor:
            return forward(model, batch.input_ids, batch.token_type_ids, sub_model).logits

        return predict(run, encoded, shape.num_labels, pad_id)

    kept = tuple(range(shape.num_layers))
    full = outputs(kept)
    by_count: dict[int, tuple[int, ...]] = {len(kept): kept}
    smallest = min(wanted)
    trials = sum(range(smallest + 1, len(kept) + 1))
    with Progress(total=trials, desc="choose layers", unit="trial", disable=not distributed.is_main()) as bar:
        while len(kept) > smallest:
            loss_increases = {}
            for layer in kept:
                rest = tuple(other for other in kept if other != layer)
                loss_increases[rest] = kind.distance(full, outputs(rest))
                bar.update()
            kept = min(loss_increases, key=lambda rest: (loss_increases[rest], rest))
            by_count[len(kept)] = kept
    return tuple(by_count[count] for count in wanted)
