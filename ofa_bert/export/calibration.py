"""What real sentences send through a model, and the INT8 scales that follow from it.

A scale is chosen by the error that it leaves in the output of the linear layer behind it, token by token and relative
to the token's own output: a few tokens ([CLS], full stops) have values tens of times larger than all the others, the
LayerNorm behind the layer divides them away again, and in an absolute error they would outvote everything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from paddle import nn

from ofa_bert.bundle.manifest import INPUTS
from ofa_bert.data.encoding.batches import Batch
from ofa_bert.export.onnx.form import FACTOR_LIMIT, quantize
from ofa_bert.export.onnx.writer import linear_inputs, residual_sums
from ofa_bert.models.encoder import backbone, encoder_layers
from ofa_bert.numerics import Floats, Ints
from ofa_bert.system import environment

ROWS = 512  # tokens per tensor that a scale is chosen with
_CLIPS = tuple((0.87 ** np.arange(20)).tolist())  # shares of the largest value: 1 down to 0.07


@dataclass(frozen=True)
class ActivationSample:
    """`rows`: a sample [ROWS, H] of what enters each linear layer; `peaks`: the largest magnitude in each tensor."""

    rows: Mapping[str, Floats]
    peaks: Mapping[str, float]


def observe(model: nn.Layer, onnx_model: Path, batches: Iterable[Batch]) -> ActivationSample:
    """Run the portable float32 graph of `model` over batches and note what flows; padding is left out."""
    import onnx
    import onnxruntime

    entering, sums = linear_inputs(model), residual_sums(model)
    graph = onnx.load(str(onnx_model))
    for name in [*entering, *sums]:
        graph.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = environment.cores()
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    pad, rng = backbone(model).pad_token_id, np.random.default_rng(0)
    kept: dict[str, Floats] = {}
    once_a_sentence: dict[str, bool] = {}
    peaks = dict.fromkeys([*entering, *sums], 0.0)
    seen = {True: 0, False: 0}  # sentences, tokens
    for batch in batches:
        real = batch.input_ids != pad  # [B, T]
        found = session.run([*entering, *sums], dict(zip(INPUTS, (batch.input_ids, batch.token_type_ids))))
        # One draw for all tensors of the batch: where its tokens go among those kept so far (reservoir sampling); and
        # one for what the last layer computes once a sentence.
        places = {}
        for once, count in ((True, len(real)), (False, int(real.sum()))):
            places[once] = _places(rng, seen[once], count)
            seen[once] += count
        for name, values in zip(peaks, found):
            rows = values if values.ndim == 2 else values[real]  # [sentences or tokens, H]
            peaks[name] = max(peaks[name], float(np.abs(rows).max(initial=0.0)))
            if name in entering:
                once_a_sentence[name] = values.ndim == 2
                _keep(kept, name, rows, places[values.ndim == 2])
    rows_of = {name: rows[: min(seen[once_a_sentence[name]], ROWS)] for name, rows in kept.items()}
    return ActivationSample(rows_of, peaks)


def _places(rng: np.random.Generator, seen: int, count: int) -> Ints:
    """For each of `count` new tokens the row that it takes, ROWS or more for none: every token is kept alike."""
    numbers = seen + np.arange(count)
    return np.where(numbers < ROWS, numbers, rng.integers(0, np.maximum(numbers, 1) + 1))


def _keep(kept: dict[str, Floats], name: str, tokens: Floats, places: Ints) -> None:
    rows = kept.setdefault(name, np.zeros((ROWS, tokens.shape[1]), "float32"))
    taken = places < ROWS
    rows[places[taken]] = tokens[taken]


def choose_scales(model: nn.Layer, traffic: ActivationSample) -> dict[str, float]:
    """The INT8 scale of each tensor that enters a linear layer, by the error in that layer's output."""
    scales, entering = {}, linear_inputs(model)
    for index, layer in enumerate(encoder_layers(model)):
        attention = layer.self_attn
        behind = {
            "states": [attention.q_proj, attention.k_proj, attention.v_proj],
            "context": [attention.out_proj],
            "attended": [layer.linear1],
            "inner": [layer.linear2],
        }
        for part, linears in behind.items():
            name = f"layer{index}.{part}"
            if name not in entering:
                continue
            weight = np.concatenate([linear.weight.numpy() for linear in linears], axis=1)  # [in, out]
            scales[name] = best_scale(traffic.rows[name], traffic.peaks[name], weight)
    return scales


def best_scale(rows: Floats, peak: float, weight: Floats, clips: Sequence[float] = _CLIPS) -> float:
    """The scale for `rows` [N, in] that leaves the least relative error in tokens of rows @ weight, both in INT8."""
    values, steps = quantize(weight, axis=0, most=FACTOR_LIMIT)
    rounded = values * steps  # [in, out]
    wanted = rows @ weight  # [N, out]
    norms = np.maximum((wanted**2).sum(axis=1), 1e-12)  # [N]
    peak = peak or 1.0
    errors = []
    for clip in clips:
        scale = peak * clip / 127
        coarse = np.clip(np.rint(rows / scale), -127, 127) * np.float32(scale)
        errors.append(float((((coarse @ rounded - wanted) ** 2).sum(axis=1) / norms).mean()))
    return float(peak * clips[int(np.argmin(errors))] / 127)
