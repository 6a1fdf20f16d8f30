"""Engines of a bundle for NVIDIA's TensorRT."""

from collections.abc import Sequence

from ofa_bert.cli.parser import parse
from ofa_bert.cli.process import show


def run(argv: Sequence[str] | None) -> None:
    about = (
        "Compile one of a bundle's ONNX models with NVIDIA's TensorRT for RTX, for GPUs that need not be here, or with"
        " TensorRT, for the GPU that is. The model is checked as the library reads it, the engines go into the bundle."
    )
    example = "python -m ofa_bert engine --bundle static/w0.6667_d1 --precision fp16 --compute_capability 7.5 8.6 8.9"
    from ofa_bert.engines.job import EngineJob

    job = parse(EngineJob, argv, about, example, command="engine")
    from ofa_bert.engines.build import build_engines

    show(build_engines(job))
