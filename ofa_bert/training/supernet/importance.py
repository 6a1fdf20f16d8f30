"""First-order importance of heads and FFN neurons, and the reordering that puts the important ones first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from ofa_bert.data.encoding.batches import Batch, eval_batches, example_batches
from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.models.encoder import encoder_layers
from ofa_bert.models.operators import backward
from ofa_bert.training import distributed
from ofa_bert.training.evaluation import to_tensors
from ofa_bert.training.losses.task import KindLosses, for_batch, losses_of
from ofa_bert.training.setup import TrainingSetup
from ofa_bert.training.supernet.importance_plot import importance_plot


@dataclass(frozen=True)
class Importance:
    """`heads` [layers, heads] and `neurons` [layers, FFN neurons], float64, larger is more important."""

    heads: np.ndarray
    neurons: np.ndarray

    def to_json(self) -> dict[str, object]:
        return {"heads": self.heads.tolist(), "neurons": self.neurons.tolist()}

    @classmethod
    def from_json(cls, value: Mapping[str, Sequence[Sequence[float]]]) -> Importance:
        return cls(np.asarray(value["heads"]), np.asarray(value["neurons"]))


def measure(model: nn.Layer, batches: Iterable[Batch], losses: KindLosses) -> Importance:
    """Mean over batches of |w * dL/dw|, summed over the weights of one head or neuron, of the label loss L.

    For a head this is |dL/d(head mask)| (Michel et al. 2019, eq. 2): scaling a head's output by a mask m scales its
    rows of `out_proj`, so dL/dm at m = 1 is the sum of w * dL/dw over those rows. For a neuron it is that sum over its
    column of `linear1` with its bias, plus that sum over its row of `linear2`, each in absolute value.

    `batches` yield objects with tensors `input_ids`, `token_type_ids` [B, T] and `labels` [B]. The model runs in eval
    mode and is left in the mode it had; gradients are cleared before, between and after the batches.
    """
    was_training = model.training
    model.eval()
    model.clear_gradients()
    heads, neurons, count = np.zeros(0), np.zeros(0), 0
    for batch in batches:
        logits = model(batch.input_ids, token_type_ids=batch.token_type_ids)
        backward(for_batch(losses, batch).task(logits, batch.labels))
        batch_heads, batch_neurons = _batch_scores(model)
        model.clear_gradients()
        heads = heads + batch_heads if count else batch_heads
        neurons = neurons + batch_neurons if count else batch_neurons
        count += 1
    if was_training:
        model.train()
    if count == 0:
        raise ValueError("importance needs at least one batch")
    return Importance(heads / count, neurons / count)


def _batch_scores(model: nn.Layer) -> tuple[np.ndarray, np.ndarray]:
    heads, neurons = [], []
    for layer in encoder_layers(model):
        out = _saliency(layer.self_attn.out_proj.weight)  # [heads * d, H]
        heads.append(np.abs(out.reshape(layer.self_attn.num_heads, -1).sum(1)))
        into = _saliency(layer.linear1.weight).sum(0) + _saliency(layer.linear1.bias)  # [n]
        neurons.append(np.abs(into) + np.abs(_saliency(layer.linear2.weight).sum(1)))
    return np.stack(heads), np.stack(neurons)


def _saliency(parameter: paddle.Tensor) -> np.ndarray:
    """w * dL/dw in float64, so that sums over many weights do not depend on their order."""
    return parameter.numpy().astype(np.float64) * parameter.grad.numpy().astype(np.float64)


def reorder(model: nn.Layer, importance: Importance) -> None:
    """Sort every layer's heads and neurons by descending importance, in place; the model's outputs do not change."""
    for layer, head_scores, neuron_scores in zip(encoder_layers(model), importance.heads, importance.neurons):
        attention = layer.self_attn
        # A stable sort keeps ties where they were.
        head_order = np.argsort(-head_scores, kind="stable")
        columns = (head_order[:, None] * attention.head_dim + np.arange(attention.head_dim)).ravel()
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
            _permute(projection.weight, columns, axis=1)
            _permute(projection.bias, columns, axis=0)
        _permute(attention.out_proj.weight, columns, axis=0)
        neuron_order = np.argsort(-neuron_scores, kind="stable")
        _permute(layer.linear1.weight, neuron_order, axis=1)
        _permute(layer.linear1.bias, neuron_order, axis=0)
        _permute(layer.linear2.weight, neuron_order, axis=0)


def _permute(parameter: paddle.Tensor, order: np.ndarray, axis: int) -> None:
    parameter.set_value(np.take(parameter.numpy(), order, axis=axis))


IMPORTANCE_BATCH = 32


def held_out_importance(setup: TrainingSetup, output: Path | None) -> Importance:
    """Measured on the held-out part of train by every process alike; saved with its picture by one."""
    losses, pad_id = losses_of(setup.task), setup.tokenizer.pad_token_id
    if losses.joint:
        batches = example_batches(setup.measured, IMPORTANCE_BATCH // 4, pad_id)
    else:
        batches = eval_batches(setup.measured, IMPORTANCE_BATCH, pad_id)
    importance = measure(setup.model, map(to_tensors, batches), losses)
    if output is not None and distributed.is_main():
        write_json_atomic(output / "importance.json", importance.to_json())
        title = f"{setup.task.name}: importance on {setup.measured.examples} held-out training examples"
        importance_plot(importance, output / "importance.png", title)
    return importance
