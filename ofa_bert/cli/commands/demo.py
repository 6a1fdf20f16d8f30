"""The demo: the whole main job on an embedded encoder and a generated task."""

from collections.abc import Sequence

from ofa_bert.cli.page import leave_page
from ofa_bert.cli.parser import parse
from ofa_bert.cli.process import show
from ofa_bert.recipes.jobs import DemoJob


def run(argv: Sequence[str] | None) -> None:
    about = "Run the whole main job on an embedded encoder and a generated task."
    job = parse(DemoJob, argv, about, command="demo")
    # Imported after parsing: --help and a mistyped flag need not wait for Paddle.
    from ofa_bert.models.device import select_device

    select_device(job.device)
    from ofa_bert.recipes.demo import demo, printed

    rows = demo(job)
    leave_page(job.output_dir, "demo", argv)
    show(printed(rows))
    show(f"\nBundles to deploy: {job.output_dir}/static. How it went: {job.output_dir}/report.html")
