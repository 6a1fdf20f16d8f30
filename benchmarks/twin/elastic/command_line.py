"""What the programs are told that follow `pretrain --elastic`: a few flags of their own, and every flag of its."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace

import arguments

from ofa_bert.cli.parser import parse
from ofa_bert.errors import UserError
from ofa_bert.models.families.bert import BERT
from ofa_bert.models.record import best_of
from ofa_bert.submodels.layer_sets import RULES
from ofa_bert.training import early
from ofa_bert.training.pretraining.elastic_job import ElasticJob
from ofa_bert.training.recorded import with_length
from twin.command_line import PLANTS, Parser, add_proof_flags, check, given, refuse

ELASTIC_PLANTS = (*PLANTS, "relations")
_MORE = "All other flags are those of `python -m ofa_bert pretrain --elastic`."
_STEPS = ("--max_steps", "--num_train_epochs", "--warmup_steps")


@dataclass(frozen=True)
class ElasticTold:
    """As `command_line.Told`."""

    own: argparse.Namespace
    argv: tuple[str, ...]

    def job(self) -> ElasticJob:
        job = parse(ElasticJob, self.argv, "The encoder that is trained in several depths.")
        where = best_of(job.model.model_name_or_path)
        model = replace(job.model, model_name_or_path=where, model_type=BERT.model_type)
        return replace(job, model=model, loop=with_length(job.loop, where))


def told_to_prove_elastic(argv: Sequence[str]) -> ElasticTold:
    """UserError for settings under which two programs cannot agree."""
    about = "The same steps of `pretrain --elastic` by the product and by the twin, compared."
    parser = Parser(prog="torch_twin.py prove --elastic", description=f"{about} {_MORE}", allow_abbrev=False)
    add_proof_flags(parser, ELASTIC_PLANTS)
    own, rest = parser.parse_known_args(argv)
    refuse(rest, "--max_steps", "give --steps")
    refuse(rest, "--device", "both compute on the CPU")
    rest += ["--max_steps", str(own.steps), "--save_steps", str(own.steps), "--logging_steps", str(own.steps)]
    if not given(rest, "--adam_epsilon"):
        # The whole encoder begins as its teacher: its first gradients are rounding, of which AdamW would make steps.
        rest += ["--adam_epsilon", "1e-6"]
    told = ElasticTold(own, (*rest, "--device", "cpu", "--output_dir", own.output_dir or "unnamed"))
    job = told.job()
    if job.supernet_dropout:
        raise UserError(f"--supernet_dropout {job.supernet_dropout:g}: both draw other numbers; only 0 can be compared")
    check(job.loop, job.model)
    early.check_elastic(job)
    return told


def told_to_pretrain(argv: Sequence[str]) -> ElasticTold:
    about = "What `pretrain --elastic` does, by the twin."
    parser = Parser(prog="torch_twin.py pretrain", description=f"{about} {_MORE}", allow_abbrev=False)
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto", help="[auto]")
    parser.add_argument("--autocast", choices=("off", "bf16"), default="off", help="precision of layers [off]")
    parser.add_argument(
        "--seconds",
        type=arguments.above_zero,
        metavar="N",
        help="train for so long in place of epochs; the learning rate follows the time",
    )
    parser.add_argument(
        "--also",
        choices=tuple(RULES),
        nargs="+",
        default=[],
        help="train every depth with the layers of these rules too, in the same steps; the record names those of"
        " --layer_choice, and a supernet takes these by its own",
    )
    own, rest = parser.parse_known_args(argv)
    refuse(rest, "--amp", "give --autocast")
    if own.seconds:
        for flag in _STEPS:
            if given(rest, flag):
                raise UserError(f"{flag}: counts steps, --seconds {own.seconds} does not; give one of them")
    told = ElasticTold(own, (*rest, "--device", "cpu"))
    job = told.job()
    check(job.loop, job.model)
    early.check_elastic(job)
    return told
