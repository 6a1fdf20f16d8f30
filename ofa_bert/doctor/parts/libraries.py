"""Whether each library loads, in a process of its own, and what it says of itself."""

from __future__ import annotations

from ofa_bert.doctor.finding import Finding
from ofa_bert.doctor.part import Visit
from ofa_bert.system import packages

# Name of the part -> package.
PACKAGES = {
    "NumPy": "numpy",
    "tokenizers": "tokenizers",
    "ONNX Runtime": "onnxruntime",
    "OpenVINO": "openvino",
    "Paddle": "paddle",
    "PaddleNLP": "paddlenlp",
    "PaddleSlim": "paddleslim",
}
_ON_PADDLE = ("paddlenlp", "paddleslim")  # which import it
_SECONDS = 90.0  # PaddleNLP's import takes 5 to 15 s, more from a cold disk


def part_of(package: str) -> str:
    """The name of the part that tries a package."""
    return next(name for name, other in PACKAGES.items() if other == package)


def loads(package: str, name: str, visit: Visit) -> Finding:
    lacking = visit.lacks(name, "Paddle") if package in _ON_PADDLE else None
    if lacking:
        return lacking
    answer = visit.ask("loads", {"package": package}, _SECONDS)
    if answer.get("absent"):
        return Finding(name, "absent", "not installed")
    cure = packages.cure(package) if package != "numpy" else 'pip install "numpy>=1.23,<2"'
    if "error" in answer:
        return Finding(name, "broken", f"does not load: {answer['error']}", f"install it anew; {cure}")
    return Finding(name, "works", _described(package, answer), facts=answer)


def _described(package: str, facts: dict[str, object]) -> str:
    version = str(facts["version"])
    if package == "paddle":
        gpu = f"built for GPUs (CUDA {facts['cuda']}, cuDNN {facts['cudnn']})" if facts["gpu_build"] else "CPU build"
        return f"{version}, {gpu}"
    more = facts.get("devices", ())
    return f"{version}, for {', '.join(map(str, more))}" if isinstance(more, list) and more else version
