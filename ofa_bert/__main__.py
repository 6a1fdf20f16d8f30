"""python -m ofa_bert <command>: what is not one of the three scripts.

commands:
  add_digests     SHA-256 of every file for a bundle from before there were any, so that a changed byte is found out
  demo            finetune, train a supernet and export its sub-models on an embedded encoder and a generated task
  predict         labels and probabilities for the texts of a TSV, CSV or JSONL file, from a bundle; needs no Paddle
  bench           latency, size, memory and score of bundles in every back end and precision, with tables and plots
  exits           choose the threshold of early exits on held-out training data, measure it, report it on dev
  latency         measure what layers cost on this device, so that the latency of any sub-model can be predicted
  search          find uneven sub-models of a supernet under a latency, size or FLOP budget (NSGA-II, or Bort's FPTAS)
  pretrain        train a small shape from a large masked-LM on a text file, by distillation
  distil          train a small student from a finetuned teacher
  prune           keep the most important heads and FFN neurons of every layer
  recipe          distil, prune, distil again, quantize, several instances: what each stage costs and brings
  tune            finetune with many hyper-parameters, stopping the bad runs early; for shapes that are hard to finetune
  export_serving  bundles as a Triton model repository and as Paddle Serving's and FastDeploy's input
  trtexec         the command line that compiles a bundle's ONNX model with NVIDIA's TensorRT
"""

import importlib
import os
import sys

if not __package__:
    # Run by its path, as Paddle's launcher does, which knows no -m: Python then looks for every module in this folder
    # first, and would give PaddleNLP ours for another of that name.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from ofa_bert.cli.process import RESUME, leave, run_command, show
from ofa_bert.errors import UserError

COMMANDS = (
    "add_digests",
    "bench",
    "demo",
    "distil",
    "exits",
    "export_serving",
    "latency",
    "predict",
    "pretrain",
    "prune",
    "recipe",
    "search",
    "trtexec",
    "tune",
)

_SAME_COMMAND = "the same command goes on where it stopped"
# What an interrupted command is told; the others are short.
_GOES_ON = {
    **dict.fromkeys(("distil", "pretrain"), RESUME),
    **dict.fromkeys(("demo", "recipe", "search", "tune"), _SAME_COMMAND),
}


def work(argv):
    if argv and argv[0] in ("-h", "--help"):
        show(__doc__.strip() + "\n\npython -m ofa_bert <command> --help explains one.")
    elif not argv or argv[0] not in COMMANDS:
        given = f"{argv[0]}: no such command; " if argv else ""
        raise UserError(f"{given}commands: {', '.join(COMMANDS)}. python -m ofa_bert --help explains them.")
    else:
        importlib.import_module(f"ofa_bert.cli.commands.{argv[0]}").run(argv[1:])


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    return run_command(work, argv, hint=_GOES_ON.get(argv[0] if argv else "", ""))


if __name__ == "__main__":
    leave(main())
