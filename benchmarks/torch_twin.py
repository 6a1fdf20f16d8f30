"""The training of supernets and of depths in PyTorch: recipes tried in minutes on a GPU that Paddle has no code for.

    python benchmarks/torch_twin.py prove --model_name_or_path out/MRPC --task_name MRPC --data_dir glue/MRPC
    python benchmarks/torch_twin.py train --model_name_or_path out/MRPC --task_name MRPC --data_dir glue/MRPC \\
        --recipe strong --seeds 1 2 3 --device cuda --output_dir out/twin
    python benchmarks/torch_twin.py pretrain --model_name_or_path bert --corpus texts.txt --device cuda \\
        --autocast bf16 --seconds 1200 --output_dir out/elastic
    python benchmarks/torch_twin.py prove --elastic --model_name_or_path bert --corpus texts.txt

`prove` trains the same few steps by the product and by the twin, each in a process of its own, and compares: the losses
of every step and sub-model, importance, layers, what is drawn, the weights at the end, the scores. Exit code 1 where
they differ. It needs Paddle here and PyTorch in --torch_python. --plant makes a mistake that it has to find.

`train` needs PyTorch and no Paddle: a teacher that `finetune` made, or an encoder that is finetuned first; then a
supernet a seed. rows.jsonl has a line a seed, table.md the differences to the teacher on dev after the last step.

These take every flag of `python -m ofa_bert supernet`; the numbers behind --recipe are the product's own.

`pretrain` does what `python -m ofa_bert pretrain --elastic` does, with all its flags, and writes what that writes: an
encoder that `train`, the product's finetuning and its supernets take, and whose layers they keep. --seconds trains by
the clock, --autocast bf16 computes the layers in bfloat16, --also trains other layers of the same depths beside them.
`prove --elastic` compares it with the product.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from twin.command_line import Told, told_to_prove
from twin.elastic.command_line import ElasticTold, told_to_prove_elastic
from twin.record import ELASTIC, REQUEST

from ofa_bert.cli.process import run_command, show
from ofa_bert.errors import UserError
from ofa_bert.files.reading import read_object

COMMANDS = ("prove", "train", "pretrain", "product", "follow")  # the last two are the sides of `prove`


def work(argv: Sequence[str] | None) -> None:
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        show(__doc__)
        return
    command, *rest = words
    if command not in COMMANDS:
        raise UserError(f"{command}: must be prove, train or pretrain; --help explains")
    # Inside: the sides import Paddle or PyTorch, which the other one's Python may lack.
    if command == "prove":
        from twin import prove
        from twin.elastic import compare

        if "--elastic" in rest:
            prove.prove(told_to_prove_elastic(rest), compare.compared)
        else:
            prove.prove(told_to_prove(rest), prove.compared)
    elif command == "train":
        _need_torch()
        from twin.train import train

        train(rest)
    elif command == "pretrain":
        _need_torch()
        from twin.elastic.pretrain import pretrain

        pretrain(rest)
    else:
        _side(command, _request(rest), Path(rest[0]))


def _side(side: str, told: Told | ElasticTold, folder: Path) -> None:
    """One of a proof, which leaves what it found in the folder."""
    if side == "follow":
        _need_torch()
    package = "twin.elastic" if isinstance(told, ElasticTold) else "twin"
    module = import_module(f"{package}.{side}")
    work = module.record if side == "product" else module.follow
    work(told, folder)


def _need_torch() -> None:
    if find_spec("torch") is None:
        raise UserError(f"{sys.executable}: has no torch; install it, or start this program with a Python that has it")


def _request(words: Sequence[str]) -> Told | ElasticTold:
    if len(words) != 1:
        raise UserError("give the directory of a proof; `prove` does that")
    told = read_object(Path(words[0], REQUEST))
    own = dict(told["own"])
    kind = ElasticTold if own.pop(ELASTIC, False) else Told
    return kind(argparse.Namespace(**own), tuple(told["argv"]))


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(work, argv, resumable=False)


if __name__ == "__main__":
    sys.exit(main())
