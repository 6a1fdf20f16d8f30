"""python -m ofa_bert <command>: what is not one of the three scripts.

commands:
  demo    finetune, train a supernet and export its sub-models on an embedded encoder and a generated task
"""

import sys

from ofa_bert.cli import run, show
from ofa_bert.commandline import parse
from ofa_bert.config import DemoConfig
from ofa_bert.errors import UserError


def run_demo(argv):
    about = "Run the whole main job on an embedded encoder and a generated task."
    config = parse(DemoConfig, argv, about, prog="python -m ofa_bert demo")
    # Imported after parsing: --help and a mistyped flag need not wait for Paddle.
    from ofa_bert.environment import select_device

    select_device(config.device)
    from ofa_bert.demo import demo, printed

    show(printed(demo(config)))
    show(f"\nBundles to deploy: {config.output_dir}/static")


COMMANDS = {"demo": run_demo}


def work(argv):
    if argv and argv[0] in ("-h", "--help"):
        show(__doc__.strip() + "\n\npython -m ofa_bert <command> --help explains one.")
    elif not argv or argv[0] not in COMMANDS:
        given = f"{argv[0]}: no such command; " if argv else ""
        raise UserError(f"{given}commands: {', '.join(COMMANDS)}. python -m ofa_bert --help explains them.")
    else:
        COMMANDS[argv[0]](argv[1:])


def main(argv=None):
    return run(work, sys.argv[1:] if argv is None else argv)


if __name__ == "__main__":
    sys.exit(main())
