"""What the programs of the twin are told: a few flags of their own, and every flag of the `supernet` command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import arguments

from ofa_bert.cli.parser import parse
from ofa_bert.errors import UserError
from ofa_bert.models.record import best_of
from ofa_bert.tasks.task import Datasets
from ofa_bert.training.recorded import as_recorded
from ofa_bert.training.settings import LoopSettings, ModelSource
from ofa_bert.training.supernet.job import SupernetJob

PLANTS = ("weight_decay", "schedule", "clipping", "matching")
_MORE = "All other flags are those of `python -m ofa_bert supernet`, --recipe among them."


@dataclass(frozen=True)
class Told:
    """own: the flags of the program itself. argv: those that the product reads too, complete."""

    own: argparse.Namespace
    argv: tuple[str, ...]

    def job(self) -> SupernetJob:
        job = parse(SupernetJob, self.argv, "The supernet that is trained.")
        where = best_of(job.model.model_name_or_path)
        teacher = best_of(job.teacher) if job.teacher else None
        return as_recorded(replace(job, model=replace(job.model, model_name_or_path=where), teacher=teacher), where)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every command does."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; --help explains")


def prove_parser() -> argparse.ArgumentParser:
    made = _made("prove", "The same steps by the product and by the twin, each in a process of its own, compared.")
    add_proof_flags(made, PLANTS)
    return made


def add_proof_flags(made: argparse.ArgumentParser, plants: Sequence[str]) -> None:
    made.add_argument("--steps", type=arguments.above_zero, default=20, help="optimizer steps [20]")
    made.add_argument("--torch_python", metavar="PATH", help="the Python that has PyTorch [this one]")
    made.add_argument(
        "--plant", choices=plants, help="make this mistake in the twin on purpose, to see that it is found"
    )
    made.add_argument("--output_dir", metavar="DIR", help="keep what both wrote; default: a temporary directory")


def train_parser() -> argparse.ArgumentParser:
    made = _made("train", "Teacher and supernet by the twin, every sub-model scored on dev, seed by seed.")
    made.add_argument("--seeds", type=arguments.not_negative, nargs="+", default=[1], help="[1]")
    made.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto", help="[auto]")
    made.add_argument("--output_dir", metavar="DIR", required=True, help="where teacher, rows and table go")
    made.add_argument(
        "--finetune_epochs", type=arguments.above_zero, default=3, help="for an encoder without a classifier [3]"
    )
    made.add_argument(
        "--keep",
        action="store_true",
        help="write each seed's supernet too, as a directory that the product exports from",
    )
    made.add_argument(
        "--try_relation", type=arguments.not_negative_number, default=0.0, metavar="WEIGHT",
        help="add a MiniLMv2 loss on the last layer's relations, which the product does not have [0]",
    )  # fmt: skip
    made.add_argument(
        "--try_shallow", type=arguments.not_negative_number, default=1.0, metavar="WEIGHT",
        help="what the loss of a sub-model with fewer layers counts; the product: as much as any other [1]",
    )  # fmt: skip
    return made


def _made(name: str, about: str) -> argparse.ArgumentParser:
    made = Parser(prog=f"torch_twin.py {name}", description=f"{about} {_MORE}", allow_abbrev=False)
    made.add_argument(
        "--examples",
        type=arguments.not_negative,
        default=0,
        metavar="N",
        help="the first N examples of train and of dev alone, for a quick look; 0: all [0]",
    )
    return made


def told_to_prove(argv: Sequence[str]) -> Told:
    """UserError for settings under which two programs cannot agree."""
    own, rest = prove_parser().parse_known_args(argv)
    refuse(rest, "--max_steps", "give --steps")
    refuse(rest, "--device", "both compute on the CPU")
    rest += ["--max_steps", str(own.steps), "--save_steps", str(own.steps), "--logging_steps", str(own.steps)]
    if not given(rest, "--supernet_dropout"):
        rest += ["--supernet_dropout", "0"]
    told = Told(own, (*rest, "--device", "cpu", "--output_dir", own.output_dir or "unnamed"))
    job = told.job()
    if job.supernet_dropout:
        raise UserError(f"--supernet_dropout {job.supernet_dropout:g}: both draw other numbers; only 0 can be compared")
    check(job.loop, job.model)
    return told


def told_to_train(argv: Sequence[str]) -> Told:
    own, rest = train_parser().parse_known_args(argv)
    refuse(rest, "--seed", "give --seeds")
    if len(set(own.seeds)) < len(own.seeds):
        raise UserError(f"--seeds {' '.join(map(str, own.seeds))}: each once")
    told = Told(own, (*rest, "--device", "cpu", "--output_dir", own.output_dir))
    job = told.job()
    check(job.loop, job.model)
    if own.try_relation and job.teacher:
        raise UserError("--try_relation: compares head by head, and --teacher has its heads in another order; drop one")
    return told


def limited(datasets: Datasets, examples: int) -> Datasets:
    """The first so many of every split; 0: all."""
    if not examples:
        return datasets
    dev = {name: split[:examples] for name, split in datasets.dev.items()}
    return replace(datasets, train=datasets.train[:examples], dev=dev)


def check(loop: LoopSettings, model: ModelSource) -> None:
    """UserError for what the twin does not have."""
    wrong = [
        (loop.amp != "off", f"--amp {loop.amp}: the twin computes in float32; `pretrain` has --autocast"),
        (loop.gradient_accumulation_steps > 1, "--gradient_accumulation_steps: the twin takes whole batches"),
        (loop.resume, "--resume: the twin begins anew"),
        (model.tokenizer_name_or_path, "--tokenizer_name_or_path: the twin takes the model's own"),
    ]
    found = [text for is_so, text in wrong if is_so]
    if found:
        raise UserError("; ".join(found))


def given(words: Sequence[str], flag: str) -> bool:
    return any(word.split("=")[0] == flag for word in words)


def refuse(words: Sequence[str], flag: str, instead: str) -> None:
    if given(words, flag):
        raise UserError(f"{flag}: is set by this program; {instead}")
