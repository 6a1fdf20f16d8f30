"""Training on tiny models: on the CPU, on a GPU beside the CPU, and in two processes beside one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ofa_bert.doctor import probes
from ofa_bert.doctor.finding import Finding
from ofa_bert.doctor.part import REPORT, Visit
from ofa_bert.doctor.parts import gpu
from ofa_bert.files.fields import Fields
from ofa_bert.numerics import Array
from ofa_bert.system import child_process

CPU = "training, cpu"
GPU = {"training, gpu": "off", "training, gpu, bf16": "bf16", "training, gpu, fp16": "fp16"}  # name -> amp
PAIRS = {"two processes, cpu": "cpu", "two processes, gpu": "gpu"}  # name -> device
_SECONDS = 120.0
_SAME = 2e-5  # absolute, of two processes' weights: what the tests of the trainings hold them to
# Largest share of how far training moved the weights that a device may be away from the CPU. Products of GPUs keep as
# few as 11 bits in "off" (TF32); bf16 keeps 8.
_NEAR = {"off": 0.05, "bf16": 0.5, "fp16": 0.2}
_BF16_FROM = 8  # major compute capability
_CURE = "pip install the versions that the part called versions names; if it names none, " + REPORT


def on_cpu(name: str, visit: Visit) -> Finding:
    lacking = visit.lacks(name, "PaddleNLP")
    if lacking:
        return lacking
    answer = visit.ask("train", _request("cpu", "off", weights(visit, "cpu")), _SECONDS)
    return _failed(name, answer, _CURE) or Finding(name, "works", _told(answer), facts=answer)


def on_gpu(amp: str, name: str, visit: Visit) -> Finding:
    """The same steps as on the CPU, from the same weights."""
    if not gpu.capabilities(visit):
        return Finding(name, "absent", "no NVIDIA card")
    lacking = visit.lacks(name, gpu.PADDLE_GPU, CPU)
    if lacking:
        return lacking
    if amp == "bf16" and min(gpu.capabilities(visit))[0] < _BF16_FROM:
        return Finding(name, "absent", f"cards below compute capability {_BF16_FROM}.0 have no bf16; take fp16")
    target = weights(visit, f"gpu-{amp}")
    answer = visit.ask("train", _request("gpu", amp, target), _SECONDS)
    cure = (
        "train on the CPU, or leave amp out" if amp != "off" else "train on the CPU; see the pages on GPUs in install"
    )
    failed = _failed(name, answer, cure)
    if failed:
        return failed
    away = moved_apart(read(target), read(weights(visit, "cpu")))
    said = f"{_told(answer)}; {100 * away:.2g} % of the way from the CPU's weights, {100 * _NEAR[amp]:.0f} allowed"
    facts = {**answer, "away": away}
    return (
        Finding(name, "works", said, facts=facts) if away <= _NEAR[amp] else Finding(name, "broken", said, cure, facts)
    )


def in_two(device: str, name: str, visit: Visit) -> Finding:
    """Two processes with half the batch each end with the weights of one (property 6 of the design)."""
    alone = "cpu" if device == "cpu" else "gpu-off"
    if device == "gpu" and len(gpu.capabilities(visit)) < 2:
        return Finding(name, "absent", "needs two NVIDIA cards")
    lacking = visit.lacks(name, CPU if device == "cpu" else "training, gpu")
    if lacking:
        return lacking
    target = weights(visit, f"two-{device}")
    cure = "train in one process; for several, processes of this machine must reach each other on 127.0.0.1"
    complaint = _launch(device, target, visit.workspace / "logs")
    if complaint or not target.is_file():
        return Finding(name, "broken", complaint or "they ended without an answer", cure)
    apart = furthest_apart(read(target), read(weights(visit, alone)))
    said = f"weights are {apart:.1e} away from those of one process, {_SAME:.0e} allowed"
    facts = {"apart": apart}
    return Finding(name, "works", said, facts=facts) if apart <= _SAME else Finding(name, "broken", said, cure, facts)


def _launch(device: str, target: Path, logs: Path) -> str:
    """Train in two processes under Paddle's launcher; why that failed, "" when it did not."""
    how = ["--nproc_per_node", "2"] if device == "cpu" else ["--gpus", "0,1"]
    launcher = [sys.executable, "-m", "paddle.distributed.launch", "--log_dir", str(logs), *how]
    script = Path(probes.__file__).with_name("train.py")
    request = json.dumps(_request(device, "off", target))
    try:
        done = child_process.finish([*launcher, str(script), request], seconds=_SECONDS)
    except subprocess.TimeoutExpired:
        return f"they were ended after {_SECONDS:.0f} s without an answer"
    return child_process.why(done.code, done.complaint) if done.code else ""


def weights(visit: Visit, which: str) -> Path:
    """The file of the weights that one way of training ended with."""
    return visit.workspace / f"{which}.npz"


def read(path: Path) -> dict[str, Array]:
    with np.load(path) as stored:
        return dict(stored)


def furthest_apart(ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> float:
    """The largest difference of any weight; infinity where one is not finite."""
    return max(float(np.nan_to_num(np.abs(ours[name] - theirs[name]), nan=np.inf).max()) for name in theirs)


def moved_apart(ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> float:
    """Norm of the difference of all trained weights, as a share of the norm of how far training moved `theirs`."""
    apart = moved = 0.0
    for name, values in theirs.items():
        training, _, key = name.partition("/")
        if training != "start":
            apart += float(np.square(ours[name] - values).sum())
            moved += float(np.square(values - theirs[f"start/{key}"]).sum())
    return float(np.sqrt(apart / moved)) if moved and np.isfinite(apart) else float("inf")


def _request(device: str, amp: str, target: Path) -> dict[str, object]:
    return {"device": device, "amp": amp, "target": str(target)}


def _failed(name: str, answer: dict[str, object], cure: str) -> Finding | None:
    return Finding(name, "broken", str(answer["error"]), cure) if "error" in answer else None


def _told(answer: dict[str, object]) -> str:
    fields = Fields(answer, "the answer of a training")
    losses = {name: fields.numbers(name) for name in ("finetuning", "supernet")}
    return ", ".join(f"{name} {first:.3f} → {last:.3f}" for name, (first, last) in losses.items())
