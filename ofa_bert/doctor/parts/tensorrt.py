"""Whether NVIDIA's compilers read an ONNX file and build an engine of it."""

from __future__ import annotations

from typing import NamedTuple

from ofa_bert.doctor.finding import Finding
from ofa_bert.doctor.part import Visit
from ofa_bert.doctor.parts import gpu

_SECONDS = 120.0


class Kind(NamedTuple):
    """packages: what it is imported as, of which the first is taken that is there."""

    packages: tuple[str, ...]
    without_card: bool  # it builds where there is no GPU
    cure: str


KINDS = {
    "TensorRT": Kind(
        ("tensorrt",), False, "the driver must know the CUDA version of the package: pip install tensorrt-cu12 or -cu13"
    ),
    "TensorRT-RTX": Kind(
        ("tensorrt_rtx", "tensorrt_rtx_bindings"),
        True,
        "pip install tensorrt-rtx-cu13-libs and tensorrt-rtx-cu13-bindings of one version",
    ),
}


def builds(kind: Kind, name: str, visit: Visit) -> Finding:
    tried = kind.without_card or bool(gpu.capabilities(visit))
    answer = visit.ask("tensorrt", {"packages": list(kind.packages), "build": tried}, _SECONDS)
    if answer.get("absent"):
        return Finding(name, "absent", "not installed")
    if "error" in answer:
        return Finding(name, "broken", str(answer["error"]), kind.cure)
    if not tried:
        return Finding(
            name, "absent", f"{answer['version']} loads; it builds nothing without an NVIDIA card", facts=answer
        )
    said = f"{answer['version']} reads ONNX and built an engine of {answer['bytes']} bytes"
    return Finding(name, "works", said, facts=answer)
