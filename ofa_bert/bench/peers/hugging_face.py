"""Hugging Face's model in ONNX Runtime, as their own tools bring it there.

hugging_face: PyTorch's BertForSequenceClassification, exported by torch.onnx and fused by ONNX Runtime's own
transformer optimiser; int8 is ONNX Runtime's dynamic quantization, per channel. It reads a mask beside the two inputs.
hugging_face_tuned: the same but for the fusion of Add and LayerNormalization, whose CPU operator is slow.

    python -m ofa_bert.bench.peers.hugging_face < request.json    what `write` starts
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, cast

import numpy as np

from ofa_bert.bench.peers.base import Job, Opening, Peer, Written
from ofa_bert.errors import RunError, UserError
from ofa_bert.runtime.backends.base import Ids, Logits
from ofa_bert.runtime.opening import Backend
from ofa_bert.submodels.values import ModelShape, SubModelConfig
from ofa_bert.system import child_process

if TYPE_CHECKING:
    import torch
    from onnxruntime.transformers.onnx_model_bert import BertOnnxModel

NEEDED = ("torch", "transformers", "onnx", "onnxruntime")
PLAIN, TUNED = "hugging_face", "hugging_face_tuned"
OPSET = 17
_OPTIMIZER = "bert"  # ONNX Runtime's word for an encoder of this kind
MASKED_INPUTS = ("input_ids", "attention_mask", "token_type_ids")

Request: TypeAlias = Mapping[str, Any]  # what a process of its own is asked, from JSON


def write(jobs: Sequence[Job]) -> list[Written]:
    """Write the models of both peers.

    In a process of its own: PyTorch and Paddle do not go well together in one.
    """
    return written_by("ofa_bert.bench.peers.hugging_face", PLAIN, NEEDED, jobs)


def written_by(module: str, peer: str, needed: Sequence[str], jobs: Sequence[Job]) -> list[Written]:
    """What a module that is run as a process of its own writes; UserError for packages that are not here."""
    missing = [package for package in needed if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(f"peer {peer}: needs {', '.join(missing)}: pip install {' '.join(missing)}")
    answer = child_process.ask(module, {"jobs": [asdict(job) for job in jobs]})
    if "error" in answer:
        raise RunError(f"peer {peer}: its export failed: {answer['error']}")
    return [Written(**written) for written in cast(_Answer, answer)["exported"]]


class _WrittenFields(TypedDict):
    files: dict[str, str]
    fused: dict[str, int]


class _Answer(TypedDict):
    """What the process of its own says; the fields of each model's `Written`."""

    exported: list[_WrittenFields]


def _export_all(request: Request) -> dict[str, object]:
    return {"exported": [_export(job_of(job))._asdict() for job in request["jobs"]]}


def job_of(value: Request) -> Job:
    shape, sub_model = ModelShape.from_json(value["shape"]), SubModelConfig(**value["sub_model"])
    return Job(value["peer"], shape, sub_model, value["prefix"], tuple(value["precisions"]), value["gpu"])


def _export(job: Job) -> Written:
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    plain = f"{job.prefix}.plain.onnx"
    export_plain(job, plain)

    def optimized() -> BertOnnxModel:
        # 0 heads: it reads them off the graph, where a narrower layer has fewer.
        options = FusionOptions(_OPTIMIZER)
        if job.peer == TUNED:
            options.enable_skip_layer_norm = options.enable_bias_skip_layer_norm = False
        return optimize_model(plain, _OPTIMIZER, 0, 0, optimization_options=options, use_gpu=job.gpu)

    files = {precision: f"{job.prefix}.{precision}.onnx" for precision in ("fp32", *job.precisions)}
    fused = optimized()
    fused.save_model_to_file(files["fp32"])
    if "fp16" in files:
        half = optimized()
        half.convert_float_to_float16(keep_io_types=True)
        half.save_model_to_file(files["fp16"])
    if "int8" in files:
        quantize_dynamic(
            files["fp32"], files["int8"], op_types_to_quantize=["MatMul", "Attention"], per_channel=True,
            weight_type=QuantType.QInt8, extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )  # fmt: skip
    os.unlink(plain)
    counts = {name: int(count) for name, count in fused.get_fused_operator_statistics().items() if count}
    return Written({name: path for name, path in files.items() if name in job.precisions}, counts)


def export_plain(job: Job, target: str) -> None:
    """PyTorch's own export of the model, which nothing has optimised."""
    import torch

    example = (torch.ones([2, 8], dtype=torch.int64),) * 2 + (torch.zeros([2, 8], dtype=torch.int64),)
    free = {name: {0: "batch", 1: "sequence"} for name in MASKED_INPUTS}
    free["logits"] = free[MASKED_INPUTS[0]] if job.shape.per_token else {0: "batch"}
    torch.onnx.export(
        hugging_face_model(job.shape, job.sub_model), example, target, input_names=list(MASKED_INPUTS),
        output_names=["logits"], dynamic_axes=free, opset_version=OPSET, dynamo=False,
    )  # fmt: skip


def hugging_face_model(shape: ModelShape, sub_model: SubModelConfig) -> torch.nn.Module:
    """A torch module so shaped, (input_ids, attention_mask, token_type_ids) [B, T] -> logits [B, C] or [B, T, C]."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertForTokenClassification

    hidden, head_dim = shape.hidden_size, shape.head_dim
    config = BertConfig(
        vocab_size=shape.vocab_size, hidden_size=hidden, num_hidden_layers=sub_model.depth,
        num_attention_heads=shape.num_heads, intermediate_size=shape.ffn_size, num_labels=shape.num_labels,
        max_position_embeddings=shape.max_positions, type_vocab_size=shape.type_vocab_size,
        attn_implementation="eager",  # the pattern that ONNX Runtime's optimiser knows
    )  # fmt: skip
    torch.manual_seed(0)
    model = (BertForTokenClassification if shape.per_token else BertForSequenceClassification)(config).eval()
    for layer, heads, ffn in zip(model.bert.encoder.layer, sub_model.heads, sub_model.ffn):
        attention, inner = layer.attention.self, heads * head_dim
        attention.num_attention_heads, attention.all_head_size = heads, inner
        for name in ("query", "key", "value"):
            setattr(attention, name, torch.nn.Linear(hidden, inner))
        layer.attention.output.dense = torch.nn.Linear(inner, hidden)
        layer.intermediate.dense = torch.nn.Linear(hidden, ffn)
        layer.output.dense = torch.nn.Linear(ffn, hidden)

    class Logits(torch.nn.Module):  # type: ignore[misc, unused-ignore]  # without PyTorch its class is unknown
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(
            self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
        ) -> torch.Tensor:
            return self.model(input_ids, attention_mask, token_type_ids, return_dict=False)[0]

    return Logits()


def open_plain(how: Opening) -> Backend:
    return open_onnx(PLAIN, how, [])


def open_tuned(how: Opening) -> Backend:
    return open_onnx(TUNED, how, ["SkipLayerNormFusion"])


def open_onnx(name: str, how: Opening, left_out: list[str]) -> Backend:
    """The exported peer in ONNX Runtime, without its fusions of these names."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = how.threads
    options.log_severity_level = 3
    cuda = ("CUDAExecutionProvider", {"device_id": "0", "use_tf32": "0"})
    providers: list[str | tuple[str, dict[str, str]]] = [cuda if how.device == "gpu" else "CPUExecutionProvider"]
    if how.device == "gpu" and cuda[0] not in onnxruntime.get_available_providers():
        raise UserError(f"peer {name}: the installed ONNX Runtime has no CUDA; pip install onnxruntime-gpu")
    session = onnxruntime.InferenceSession(str(how.file), options, providers=providers, disabled_optimizers=left_out)

    def run(input_ids: Ids, token_type_ids: Ids) -> Logits:
        feeds = dict(zip(MASKED_INPUTS, (input_ids, np.ones_like(input_ids), token_type_ids)))
        logits: Logits = session.run(["logits"], feeds)[0]
        return logits

    def bind(input_ids: Ids, token_type_ids: Ids) -> Callable[[], object]:
        if how.device == "cpu":
            return lambda: run(input_ids, token_type_ids)
        binding = session.io_binding()
        for name, value in zip(MASKED_INPUTS, (input_ids, np.ones_like(input_ids), token_type_ids)):
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(value, "cuda", 0))
        binding.bind_output("logits", "cuda", 0)
        return lambda: session.run_with_iobinding(binding)

    provider = "cuda" if how.device == "gpu" else "cpu"
    return Backend(run, "logits", how.device, name, how.precision, provider, bind)


_PRECISIONS = ("fp32", "fp16", "int8")
PEERS = (
    Peer(PLAIN, "its PyTorch model exported and optimised by ONNX Runtime's own tool", _PRECISIONS, open_plain, write),
    Peer(TUNED, "without the one fusion of it that slows CPUs down", _PRECISIONS, open_tuned, write),
)


if __name__ == "__main__":
    sys.exit(child_process.answer(_export_all))
