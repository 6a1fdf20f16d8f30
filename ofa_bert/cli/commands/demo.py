"""The demo: the whole main job on an embedded encoder and a generated task."""

from ofa_bert.cli.parser import parse
from ofa_bert.cli.process import show
from ofa_bert.recipes.config import DemoConfig


def run(argv):
    about = "Run the whole main job on an embedded encoder and a generated task."
    config = parse(DemoConfig, argv, about, prog="python -m ofa_bert demo")
    # Imported after parsing: --help and a mistyped flag need not wait for Paddle.
    from ofa_bert.models.device import select_device

    select_device(config.device)
    from ofa_bert.recipes.demo import demo, printed

    show(printed(demo(config)))
    show(f"\nBundles to deploy: {config.output_dir}/static")
