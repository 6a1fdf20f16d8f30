"""Hugging Face's model in INT8, as the usual tools for a CPU quantize it.

optimum_int8: Optimum's recommended settings (AutoQuantizationConfig.avx512_vnni where there is VNNI, else avx2;
dynamic), handed to ONNX Runtime's quantizer as Optimum hands them: per channel, weights of eight bits, unsigned
without VNNI, attention's products too. It runs PyTorch's export as it is, and in ONNX Runtime.
nncf_int8: OpenVINO's NNCF on the same export, model type "transformer", which quantizes attention's products by scales
from calibration (random tokens: time does not depend on them); all else is NNCF's default. It runs in OpenVINO.

    python -m ofa_bert.bench.peers.quantized < request.json    what `write` starts
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from ofa_bert.bench.peers.base import Job, Opening, Peer, Written
from ofa_bert.bench.peers.hugging_face import (
    MASKED_INPUTS,
    NEEDED,
    Request,
    export_plain,
    job_of,
    open_onnx,
    written_by,
)
from ofa_bert.errors import UserError
from ofa_bert.runtime.backends.base import Ids, Logits, Settings
from ofa_bert.runtime.backends.tensorrt import Profile
from ofa_bert.runtime.opening import Backend
from ofa_bert.system import child_process
from ofa_bert.system.machine import has_vnni

OPTIMUM, NNCF = "optimum_int8", "nncf_int8"
_CALIBRATION = 4  # batches of random tokens


def write(peer: str, needed: Sequence[str], jobs: Sequence[Job]) -> list[Written]:
    """Write the models of one peer, in a process of its own; UserError for packages that are not here."""
    if any(job.gpu for job in jobs):
        raise UserError(f"peer {peer}: is for CPUs; leave it out, or take `device` cpu")
    return written_by("ofa_bert.bench.peers.quantized", peer, needed, jobs)


def _export_all(request: Request) -> dict[str, object]:
    return {"exported": [_export(job_of(job))._asdict() for job in request["jobs"]]}


def _export(job: Job) -> Written:
    plain = f"{job.prefix}.plain.onnx"
    export_plain(job, plain)
    target = f"{job.prefix}.int8.{'xml' if job.peer == NNCF else 'onnx'}"
    (_nncf if job.peer == NNCF else _optimum)(job, plain, target)
    os.unlink(plain)
    return Written({"int8": target}, {})


def _optimum(job: Job, plain: str, target: str) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        plain, target, op_types_to_quantize=["MatMul", "Add"], per_channel=True, reduce_range=False,
        weight_type=QuantType.QInt8 if has_vnni() else QuantType.QUInt8,
        extra_options={
            "WeightSymmetric": True, "ActivationSymmetric": False, "EnableSubgraph": False, "MatMulConstBOnly": False
        },
    )  # fmt: skip


def _nncf(job: Job, plain: str, target: str) -> None:
    import nncf
    import openvino

    rng, length = np.random.default_rng(0), min(64, job.shape.max_positions)
    batches = [rng.integers(0, job.shape.vocab_size, (1, length)) for _ in range(_CALIBRATION)]

    def feeds(ids: Ids) -> dict[str, Ids]:
        return dict(zip(MASKED_INPUTS, (ids, np.ones_like(ids), np.zeros_like(ids))))

    quantized = nncf.quantize(
        openvino.Core().read_model(plain),
        nncf.Dataset(batches, feeds),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(batches),
    )
    openvino.save_model(quantized, target, compress_to_fp16=False)


def open_optimum(how: Opening) -> Backend:
    return open_onnx(OPTIMUM, how, [])


def open_nncf(how: Opening) -> Backend:
    """The quantized model in OpenVINO, compiled as ours are."""
    from ofa_bert.runtime.backends.openvino import compiled_model  # a back end that one may leave out

    assert how.file is not None  # as `write` has made it
    request = compiled_model([how.file], Settings("int8", "cpu", how.threads, Profile())).create_infer_request()

    def run(input_ids: Ids, token_type_ids: Ids) -> Logits:
        feeds = dict(zip(MASKED_INPUTS, (input_ids, np.ones_like(input_ids), token_type_ids)))
        logits: Logits = request.infer(feeds)["logits"]
        return logits

    def bind(input_ids: Ids, token_type_ids: Ids) -> Callable[[], object]:
        return partial(run, input_ids, token_type_ids)

    return Backend(run, "logits", "cpu", NNCF, "int8", "cpu", bind)


_NNCF_NEEDED = (*NEEDED, "nncf", "openvino")
PEERS = (
    Peer(OPTIMUM, "that export quantized as Optimum does", ("int8",), open_optimum, partial(write, OPTIMUM, NEEDED)),
    Peer(NNCF, "or by OpenVINO's NNCF", ("int8",), open_nncf, partial(write, NNCF, _NNCF_NEEDED)),
)


if __name__ == "__main__":
    sys.exit(child_process.answer(_export_all))
