"""The supernet training in PyTorch: recipes tried in minutes on a GPU that Paddle has no code for, and proved the same.

    python benchmarks/torch_twin.py prove --model_name_or_path out/MRPC --task_name MRPC --data_dir glue/MRPC
    python benchmarks/torch_twin.py train --model_name_or_path out/MRPC --task_name MRPC --data_dir glue/MRPC \\
        --recipe strong --seeds 1 2 3 --device cuda --output_dir out/twin

`prove` trains the same few steps by the product and by the twin, each in a process of its own, and compares: the losses
of every step and sub-model, importance, layers, what is drawn, the weights at the end, the scores. Exit code 1 where
they differ. It needs Paddle here and PyTorch in --torch_python. --plant makes a mistake that it has to find.

`train` needs PyTorch and no Paddle: a teacher that `finetune` made, or an encoder that is finetuned first; then a
supernet a seed. rows.jsonl has a line a seed, table.md the differences to the teacher on dev after the last step.

Both take every flag of `python -m ofa_bert supernet`; the numbers behind --recipe are the product's own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from twin.command_line import Told
from twin.record import REQUEST

from ofa_bert.cli.process import run_command, show
from ofa_bert.errors import UserError
from ofa_bert.files.reading import read_object

COMMANDS = ("prove", "train", "product", "follow")  # the last two are the sides of `prove`


def work(argv: Sequence[str] | None) -> None:
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        show(__doc__)
        return
    command, *rest = words
    if command not in COMMANDS:
        raise UserError(f"{command}: must be prove or train; --help explains")
    # Inside: the sides import Paddle or PyTorch, which the other one's Python may lack.
    if command == "prove":
        from twin.prove import prove

        prove(rest)
    elif command == "train":
        _need_torch()
        from twin.train import train

        train(rest)
    elif command == "product":
        from twin.product import record

        record(_request(rest), Path(rest[0]))
    else:
        told = _request(rest)
        _need_torch()
        from twin.follow import follow

        follow(told, Path(rest[0]))


def _need_torch() -> None:
    if find_spec("torch") is None:
        raise UserError(f"{sys.executable}: has no torch; install it, or start this program with a Python that has it")


def _request(words: Sequence[str]) -> Told:
    if len(words) != 1:
        raise UserError("give the directory of a proof; `prove` does that")
    told = read_object(Path(words[0], REQUEST))
    return Told(argparse.Namespace(**told["own"]), tuple(told["argv"]))


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(work, argv, resumable=False)


if __name__ == "__main__":
    sys.exit(main())
