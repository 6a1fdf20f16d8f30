"""Bundles as the input of serving engines."""

from collections.abc import Sequence

from ofa_bert.cli.parser import parse
from ofa_bert.cli.process import show


def run(argv: Sequence[str] | None) -> None:
    about = "Write bundles as the input of Triton Inference Server, Paddle Serving and FastDeploy."
    example = "python -m ofa_bert export_serving --bundles static/w1_d1 static/w0.6667_d1 --output_dir serving"
    from ofa_bert.serving.job import ServingJob

    job = parse(ServingJob, argv, about, example, command="export_serving")
    from ofa_bert.serving.repository import export_serving

    show(export_serving(job))
