"""Every engine that is installed, on the exported model, beside the model's own logits."""

from __future__ import annotations

import importlib.util

from ofa_bert.bundle.tolerances import RELATIVE
from ofa_bert.doctor.finding import Finding
from ofa_bert.doctor.part import REPORT, Visit
from ofa_bert.doctor.parts import exported, gpu, libraries
from ofa_bert.files.fields import Fields
from ofa_bert.runtime.backends import tensorrt
from ofa_bert.runtime.backends.base import CPU
from ofa_bert.runtime.backends.registry import REGISTRY, files_for
from ofa_bert.runtime.backends.tensorrt import RTX_PROVIDER
from ofa_bert.system import packages

_SECONDS = {CPU: 60.0, "cuda": 90.0, "tensorrt": 300.0, RTX_PROVIDER: 300.0}  # TensorRT compiles the model first
_RTX_PLUGIN = "onnxruntime_ep_nv_tensorrt_rtx"
# Largest root mean square of the differences, as a share of the logits' spread; an engine that computes something else
# is at 1 or more.
_NEAR = {"fp32": 0.005, **RELATIVE}
_LISTED = {"cuda": "CUDA", "tensorrt": "Tensorrt"}  # what ONNX Runtime calls its providers


def answers(backend: str, provider: str, name: str, visit: Visit) -> Finding:
    """One engine in every precision that this machine is fast in."""
    missing = _missing(backend, provider, name, visit)
    if missing:
        return missing
    files = _files(backend, visit)
    if files is None:
        return Finding(name, "absent", "not tried: there is no exported model for it without PaddleNLP")
    told: list[str] = []
    facts: dict[str, object] = {}
    for precision in _precisions(provider, visit):
        held = files_for(backend, precision, provider)
        if not held or held[0] not in files:
            continue
        request = {
            "backend": backend, "provider": provider, "precision": precision, "files": list(files[held[0]]),
            "reference": str(exported.reference(visit)),
        }  # fmt: skip
        answer = visit.ask("engine", request, _SECONDS[provider])
        if "error" in answer:
            return _failed(backend, provider, name, precision, str(answer["error"]))
        facts[precision] = answer
        line, near = judged(precision, answer, visit.works(exported.EXPORT))
        if not near:
            cure = f"leave {precision} out with this back end, or take another version of it; {REPORT}"
            return Finding(name, "broken", line, cure, facts)
        told.append(line)
    return Finding(name, "works", "; ".join(told), facts=facts)


def judged(precision: str, answer: dict[str, object], timed: bool) -> tuple[str, bool]:
    """(what is said of an answer, whether it is near enough to the model's own)."""
    fields = Fields(answer, "the answer of an engine")
    share = fields.number("share")
    line = f"{precision} off by {100 * share:.2g} % of the logits' spread"
    if timed:
        line += f", {fields.number('sentences_per_second'):.0f} sentences/s"
    return line, share <= _NEAR[precision]


def _missing(backend: str, provider: str, name: str, visit: Visit) -> Finding | None:
    library = libraries.part_of(REGISTRY[backend].package)
    lacking = visit.lacks(name, library)
    if lacking or provider == CPU:
        return lacking
    if not gpu.capabilities(visit):
        return Finding(name, "absent", "no NVIDIA card")
    if provider == RTX_PROVIDER:
        return _missing_plugin(name, visit)
    if REGISTRY[backend].format == "paddle":
        return visit.lacks(name, gpu.PADDLE_GPU)
    if _LISTED[provider] not in Fields(visit.facts(library), library).texts("devices"):
        return Finding(
            name, "absent", f"this ONNX Runtime is a build without it: {', '.join(_LISTED)} need onnxruntime-gpu"
        )
    return None


def _missing_plugin(name: str, visit: Visit) -> Finding | None:
    unserved = gpu.unserved_by_rtx(visit)
    if unserved:
        return Finding(name, "absent", unserved)
    if importlib.util.find_spec(_RTX_PLUGIN) is None:
        return Finding(name, "absent", f"not installed: {packages.cure(_RTX_PLUGIN)}")
    return None


def _files(backend: str, visit: Visit) -> dict[str, tuple[str, ...]] | None:
    if visit.works(exported.EXPORT):
        return exported.files_of(visit.exported, REGISTRY[backend].format)
    return exported.small(visit) if REGISTRY[backend].format == "onnx" else None


def _precisions(provider: str, visit: Visit) -> tuple[str, ...]:
    if provider != CPU:
        return ("fp32", "fp16")
    bf16 = bool(visit.facts("instructions").get("bf16"))
    return ("fp32", "bf16", "int8") if bf16 else ("fp32", "int8")


def _failed(backend: str, provider: str, name: str, precision: str, error: str) -> Finding:
    if provider == "tensorrt" and tensorrt.MISSING in error:
        return Finding(name, "absent", "TensorRT's libraries are not there")
    return Finding(name, "broken", f"{precision}: {error}", f"install it anew; {REGISTRY[backend].cure}")
