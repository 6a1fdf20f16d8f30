"""The benchmark's peers: models of a bundle's shape, random weights, as other software would run them.

hugging_face: PyTorch's BertForSequenceClassification, exported by torch.onnx and fused by ONNX Runtime's own
transformer optimiser; int8 is ONNX Runtime's dynamic quantization, per channel. It reads a mask beside the two inputs.
hugging_face_tuned: the same but for the fusion of Add and LayerNormalization, whose CPU operator is slow.
paddle_dynamic: PaddleNLP's model, called as in training, without export.

    python -m ofa_bert.bench.peers < request.json    what `export_hugging_face` starts
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ofa_bert.errors import RunError, UserError
from ofa_bert.models.families.registry import FAMILIES, model_class
from ofa_bert.runtime.opening import Backend
from ofa_bert.submodels.values import ModelShape, SubModelConfig, uniform
from ofa_bert.system import child_process, packages

NEEDED = ("torch", "transformers", "onnx", "onnxruntime")
PRECISIONS = ("fp32", "fp16", "int8")  # of hugging_face
OPSET = 17
_OPTIMIZER = "bert"  # ONNX Runtime's word for an encoder of this kind
MASKED_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def described(manifest: Mapping[str, Any], name: str) -> tuple[ModelShape, SubModelConfig]:
    """The full model's shape and what the bundle keeps of it; UserError for a family that has no peer."""
    with_peers = [family.model_type for family in FAMILIES.values() if family.has_peers]
    if manifest.get("model_type") not in with_peers:
        raise UserError(
            f"{name}: is of the family {manifest.get('model_type')}; there are peers for {', '.join(with_peers)} only"
        )
    if not manifest.get("shape"):
        raise UserError(f"{name}: its manifest does not say the model's shape; export it again with export_model.py")
    shape = ModelShape.from_json(manifest["shape"])
    kept = manifest.get("sub_model")
    return shape, SubModelConfig.from_json(kept) if kept else uniform(shape, 1.0)


@dataclass(frozen=True)
class Job:
    """A model of hugging_face to export, as <prefix>.<precision>.onnx."""

    shape: ModelShape
    sub_model: SubModelConfig
    prefix: str
    precisions: tuple[str, ...]
    gpu: bool = False
    tuned: bool = False


def export_hugging_face(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Write the models. Returns {"files": {precision: path}, "fused": {operator: count}} for each job.

    In a process of its own: PyTorch and Paddle do not go well together in one.
    """
    missing = [package for package in NEEDED if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(f"peer hugging_face: needs {', '.join(missing)}: pip install {' '.join(missing)}")
    answer = child_process.ask("ofa_bert.bench.peers", {"jobs": [asdict(job) for job in jobs]})
    if "error" in answer:
        raise RunError(f"peer hugging_face: its export failed: {answer['error']}")
    return answer["exported"]


def _export_all(request: Mapping[str, Any]) -> dict[str, Any]:
    return {"exported": [_export(job) for job in request["jobs"]]}


def _export(request: Mapping[str, Any]) -> dict[str, Any]:
    import torch
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    model = hugging_face_model(ModelShape.from_json(request["shape"]), SubModelConfig.from_json(request["sub_model"]))
    prefix, plain = request["prefix"], request["prefix"] + ".plain.onnx"
    example = (torch.ones([2, 8], dtype=torch.int64),) * 2 + (torch.zeros([2, 8], dtype=torch.int64),)
    free = {name: {0: "batch", 1: "sequence"} for name in MASKED_INPUTS}
    torch.onnx.export(
        model, example, plain, input_names=list(MASKED_INPUTS), output_names=["logits"],
        dynamic_axes={**free, "logits": {0: "batch"}}, opset_version=OPSET, dynamo=False,
    )  # fmt: skip

    def optimized() -> Any:
        # 0 heads: it reads them off the graph, where a narrower layer has fewer.
        options = FusionOptions(_OPTIMIZER)
        if request["tuned"]:
            options.enable_skip_layer_norm = options.enable_bias_skip_layer_norm = False
        return optimize_model(plain, _OPTIMIZER, 0, 0, optimization_options=options, use_gpu=request["gpu"])

    files = {precision: f"{prefix}.{precision}.onnx" for precision in ("fp32", *request["precisions"])}
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
    return {"files": {name: path for name, path in files.items() if name in request["precisions"]}, "fused": counts}


def hugging_face_model(shape: ModelShape, sub_model: SubModelConfig) -> Any:
    """A torch module of that shape, (input_ids, attention_mask, token_type_ids) [B, T] -> logits [B, C]."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    hidden, head_dim = shape.hidden_size, shape.head_dim
    config = BertConfig(
        vocab_size=shape.vocab_size, hidden_size=hidden, num_hidden_layers=sub_model.depth,
        num_attention_heads=shape.num_heads, intermediate_size=shape.ffn_size, num_labels=shape.num_labels,
        max_position_embeddings=shape.max_positions, type_vocab_size=shape.type_vocab_size,
        attn_implementation="eager",  # the pattern that ONNX Runtime's optimiser knows
    )  # fmt: skip
    torch.manual_seed(0)
    model = BertForSequenceClassification(config).eval()
    for layer, heads, ffn in zip(model.bert.encoder.layer, sub_model.heads, sub_model.ffn):
        attention, inner = layer.attention.self, heads * head_dim
        attention.num_attention_heads, attention.all_head_size = heads, inner
        for name in ("query", "key", "value"):
            setattr(attention, name, torch.nn.Linear(hidden, inner))
        layer.attention.output.dense = torch.nn.Linear(inner, hidden)
        layer.intermediate.dense = torch.nn.Linear(hidden, ffn)
        layer.output.dense = torch.nn.Linear(ffn, hidden)

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            return self.model(input_ids, attention_mask, token_type_ids, return_dict=False)[0]

    return Logits()


def open_hugging_face(path: Path, precision: str, device: str, threads: int, tuned: bool = False) -> Backend:
    """The exported peer in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    cuda = ("CUDAExecutionProvider", {"device_id": "0", "use_tf32": "0"})
    providers = [cuda] if device == "gpu" else ["CPUExecutionProvider"]
    if device == "gpu" and cuda[0] not in onnxruntime.get_available_providers():
        raise UserError("peer hugging_face: the installed ONNX Runtime has no CUDA; pip install onnxruntime-gpu")
    left_out = ["SkipLayerNormFusion"] if tuned else []
    session = onnxruntime.InferenceSession(str(path), options, providers=providers, disabled_optimizers=left_out)

    def run(input_ids: np.ndarray, token_type_ids: np.ndarray) -> np.ndarray:
        feeds = dict(zip(MASKED_INPUTS, (input_ids, np.ones_like(input_ids), token_type_ids)))
        return session.run(["logits"], feeds)[0]

    def bind(input_ids: np.ndarray, token_type_ids: np.ndarray) -> Any:
        if device == "cpu":
            return lambda: run(input_ids, token_type_ids)
        binding = session.io_binding()
        for name, value in zip(MASKED_INPUTS, (input_ids, np.ones_like(input_ids), token_type_ids)):
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(value, "cuda", 0))
        binding.bind_output("logits", "cuda", 0)
        return lambda: session.run_with_iobinding(binding)

    provider = "cuda" if device == "gpu" else "cpu"
    name = "hugging_face_tuned" if tuned else "hugging_face"
    return Backend(run, "logits", device, name, precision, provider, bind)


def open_paddle_dynamic(manifest: Mapping[str, Any], device: str, threads: int) -> Backend:
    """PaddleNLP's model of the bundle's shape, in evaluation mode."""
    shape, sub_model = described(manifest, "this bundle")
    paddle = packages.require("paddle")

    from ofa_bert.models.encoder import resize

    kind = model_class(manifest["model_type"])
    config = kind.config_class(
        vocab_size=shape.vocab_size, hidden_size=shape.hidden_size, num_hidden_layers=sub_model.depth,
        num_attention_heads=shape.num_heads, intermediate_size=shape.ffn_size, num_labels=shape.num_labels,
        max_position_embeddings=shape.max_positions, type_vocab_size=shape.type_vocab_size,
    )  # fmt: skip
    model = kind(config)
    resize(model, sub_model.heads, sub_model.ffn)
    model.eval()

    def run(input_ids: np.ndarray, token_type_ids: np.ndarray) -> np.ndarray:
        if device == "cpu":
            paddle.base.core.set_num_threads(threads)  # one number for the whole process; others may have set it
        with paddle.no_grad():
            return model(paddle.to_tensor(input_ids), paddle.to_tensor(token_type_ids)).numpy()

    def bind(input_ids: np.ndarray, token_type_ids: np.ndarray) -> Any:
        return lambda: run(input_ids, token_type_ids)

    return Backend(run, "logits", device, "paddle_dynamic", "fp32", "cuda" if device == "gpu" else "cpu", bind)


if __name__ == "__main__":
    sys.exit(child_process.answer(_export_all))
