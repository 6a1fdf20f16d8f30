"""Whether NVIDIA's compilers read an ONNX file and build an engine of it, and what that answers where a card is."""

from __future__ import annotations

from typing import NamedTuple

from ofa_bert.doctor.finding import Finding
from ofa_bert.doctor.part import REPORT, Answer, Visit
from ofa_bert.doctor.parts import gpu
from ofa_bert.files.fields import Fields
from ofa_bert.runtime.nvidia.library import RTX, TENSORRT

_SECONDS = 120.0
_NEAR = 0.005  # largest root mean square of the differences, as a share of the logits' spread
_FIRST_WITH_FLOAT32 = 8  # major compute capability: before, TensorRT-RTX has no float32 products, as the graph does


class Kind(NamedTuple):
    """packages: what it is imported as, of which the first is taken that is there."""

    runtime: str
    packages: tuple[str, ...]
    cure: str

    @property
    def without_card(self) -> bool:
        """It builds where there is no GPU."""
        return self.runtime == RTX


KINDS = {
    "TensorRT": Kind(
        TENSORRT,
        ("tensorrt",),
        "the driver must know the CUDA version of the package: pip install tensorrt-cu12 or -cu13",
    ),
    "TensorRT-RTX": Kind(
        RTX,
        ("tensorrt_rtx", "tensorrt_rtx_bindings"),
        "pip install tensorrt-rtx-cu13-libs and tensorrt-rtx-cu13-bindings of one version",
    ),
}


def builds(kind: Kind, name: str, visit: Visit) -> Finding:
    tried = kind.without_card or bool(gpu.capabilities(visit))
    request = {
        "packages": list(kind.packages), "runtime": kind.runtime, "build": tried, "run": tried and _runs(kind, visit)
    }  # fmt: skip
    answer = visit.ask("tensorrt", request, _SECONDS)
    if answer.get("absent"):
        return Finding(name, "absent", "not installed")
    if "error" in answer:
        return Finding(name, "broken", str(answer["error"]), kind.cure)
    if not tried:
        return Finding(
            name, "absent", f"{answer['version']} loads; it builds nothing without an NVIDIA card", facts=answer
        )
    said = f"{answer['version']} reads ONNX and built an engine of {answer['bytes']} bytes"
    unserved = gpu.unserved_by_rtx(visit) if kind.runtime == RTX else None
    return _run(name, f"{said}; {unserved}" if unserved else said, answer)


def _runs(kind: Kind, visit: Visit) -> bool:
    """Whether an engine of the small graph runs on the first card."""
    found = gpu.capabilities(visit)
    if not found or kind.runtime != RTX:
        return bool(found)
    return found[0][0] >= _FIRST_WITH_FLOAT32 and gpu.unserved_by_rtx(visit) is None


def _run(name: str, said: str, answer: Answer) -> Finding:
    if "not_run" in answer:
        return Finding(name, "works", f"{said}; it was not run: {answer['not_run']}", facts=answer)
    if "share" not in answer:
        return Finding(name, "works", said, facts=answer)
    share = Fields(answer, "the answer of a compiler").number("share")
    said += f"; that answers, off by {100 * share:.2g} % of the logits' spread"
    if share <= _NEAR:
        return Finding(name, "works", said, facts=answer)
    return Finding(name, "broken", said, f"take another version of it or of the driver; {REPORT}", answer)
