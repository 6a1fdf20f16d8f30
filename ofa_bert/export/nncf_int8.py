"""An INT8 model for OpenVINO, quantized by OpenVINO's own tool, NNCF: attention's two products as well."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from paddle import nn

from ofa_bert.bundle.manifest import INPUTS
from ofa_bert.data.encoding.batches import Batch
from ofa_bert.export.onnx import writer
from ofa_bert.models.encoder import backbone
from ofa_bert.numerics import Ints
from ofa_bert.system import packages


def require() -> None:
    """UserError, with the cure, where NNCF or OpenVINO is missing."""
    for package in ("openvino", "nncf"):
        packages.require(package)


def write(model: nn.Layer, target: Path, batches: Sequence[Batch]) -> None:
    """Write `model` as `target`, an .xml file, and its weights beside it, scales fixed on the batches' sentences."""
    nncf, openvino = packages.require("nncf"), packages.require("openvino")
    sentences = list(_sentences(batches, backbone(model).pad_token_id))
    with tempfile.TemporaryDirectory(dir=target.parent.parent) as folder:
        graph = Path(folder, "model.onnx")
        writer.write(model, graph)
        quantized = nncf.quantize(
            openvino.Core().read_model(graph),
            nncf.Dataset(sentences),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(sentences),
            # Weights of seven bits, as ours: processors without VNNI sum pairs of products in 16 bits.
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE),
        )
        openvino.save_model(quantized, str(target), compress_to_fp16=False)


def _sentences(batches: Sequence[Batch], pad: int) -> Iterator[dict[str, Ints]]:
    """What the model is given, sentence by sentence and without padding: its values would count as any other."""
    for batch in batches:
        for ids, types in zip(np.asarray(batch.input_ids), np.asarray(batch.token_type_ids)):
            length = int((ids != pad).sum())
            if length:
                yield dict(zip(INPUTS, (ids[None, :length], types[None, :length])))
