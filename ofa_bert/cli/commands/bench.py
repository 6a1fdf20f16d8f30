"""Bundles measured in every back end and precision."""

from collections.abc import Sequence

from ofa_bert.cli.parser import parse
from ofa_bert.cli.process import show


def run(argv: Sequence[str]) -> None:
    about = "Measure bundles in every back end and precision, in turn in one run: latency, size, memory and score."
    example = (
        "python -m ofa_bert bench --bundles static/w1_d1 static/w0.6667_d1 --output_dir bench --threads 1 2\n"
        "    --task_name SST-2 --data_dir glue/SST-2        scores every model on dev; else the manifests' scores count"
    )
    from ofa_bert.bench.job import BenchJob

    job = parse(BenchJob, argv, about, example, command="bench")
    from ofa_bert.bench.benchmark import bench
    from ofa_bert.training.data.glue_download import download_glue

    show(bench(job, argv, download_glue))
