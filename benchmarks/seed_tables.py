"""The two tables of PaddleSlim's OFA-BERT page, made on this machine, beside the published ones.

    python benchmarks/seed_tables.py --output_dir out/seed --dry_run
    python benchmarks/seed_tables.py --output_dir out/seed --data_dir glue

The first prints every command and how much there is to compute, the second runs them. For every model, task and seed:
`finetune`, then `supernet` with widths 1, 5/6, 2/3 and 1/2; for every model once: `export` at full width and at 2/3,
and `bench` of these two. Settings are the page's where it states them. Stop it whenever you like: the same command goes
on, also in the middle of a training. More tasks, models or seeds go into the same directory, other settings into
another.

Table 1: scores on GLUE's dev sets. Finetuned: the best step on dev; width 2/3: after the last step, so that nothing
about the sub-model is chosen on the data that is reported. Table 2: milliseconds of a batch at --max_seq_length tokens
in ONNX Runtime, on a GPU in FP32 (without TF32) and in FP16 by TensorRT, or by ONNX Runtime's CUDA provider where
TensorRT is not; and on the CPU's cores. Both go to tables.md and, with settings and versions, to results.json after
every step, so that there is something to read early. --data_dir has one directory a task, in GLUE's official layout:
SST-2/train.tsv, SST-2/dev.tsv, MNLI/dev_matched.tsv, ...; without it PaddleNLP downloads.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import arguments
from seed_page import figures, plan, running
from seed_page.preview import preview
from seed_page.report import RESULTS, TABLES, Report

from ofa_bert.cli.process import run_command, show
from ofa_bert.errors import UserError
from ofa_bert.files import lock
from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.files.reading import read_object
from ofa_bert.options import changes
from ofa_bert.system import accelerator
from ofa_bert.tasks.glue import glue_task, is_glue

logger = logging.getLogger("ofa_bert.seed_tables")

SETTINGS, LOGS = "settings.json", "logs"
NOTHING = "nothing can be measured: not measured: "  # how bench begins when it says why


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every command does."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; --help explains")


def task(text: str) -> str:
    name = glue_task(text).name if is_glue(text) else ""
    if name not in figures.DIRECTORIES:
        raise argparse.ArgumentTypeError(f"{text}: the page has {', '.join(figures.DIRECTORIES.values())}")
    return name


def above_zero(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: must be a number above 0")
    return number


def parser() -> Parser:
    made = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add("--output_dir", required=True, help="where everything goes, and where a stopped run goes on")
    add(
        "--models",
        nargs="+",
        default=["bert-base-uncased"],
        metavar="NAME",
        help="PaddleNLP's names or local directories, as tinybert-6l-768d-v2-en [bert-base-uncased]",
    )
    add(
        "--tasks",
        nargs="+",
        type=task,
        default=list(figures.DIRECTORIES),
        metavar="TASK",
        help="any of SST-2 QNLI CoLA MRPC STS-B QQP MNLI RTE, in the order in which they are run [all]",
    )
    add(
        "--seeds",
        nargs="+",
        type=arguments.not_negative,
        default=[42],
        metavar="N",
        help="several: the table has mean and standard deviation [42]",
    )
    add("--data_dir", help="directory with GLUE's official files, a directory a task; default: PaddleNLP downloads")
    add(
        "--device",
        default="auto",
        choices=["auto", "gpu", "cuda", "cpu"],
        help="where models are trained; with cpu, latency is of the CPU alone [auto]",
    )
    add("--dry_run", action="store_true", help="print the commands and how much they compute, and run none")
    add("--teraflops", type=above_zero, default=4.0,
        help="for --dry_run, until a training is finished here: what the device computes in training, in TFLOP/s; the"
        " default is half of the 8.1 that NVIDIA states for a T4 in FP32 [4]")  # fmt: skip
    more = made.add_argument_group("settings; the defaults are the page's, but for the supernet's --save_steps of 100")
    more.add_argument("--finetune_epochs", type=above_zero, default=3.0, metavar="X", help="[3]")
    more.add_argument("--finetune_learning_rate", type=above_zero, default=2e-5, metavar="X", help="[2e-5]")
    more.add_argument(
        "--finetune_save_steps",
        type=arguments.above_zero,
        default=500,
        metavar="N",
        help="steps between evaluations, of which the best is kept, and checkpoints [500]",
    )
    more.add_argument("--supernet_epochs", type=above_zero, default=6.0, metavar="X", help="[6]")
    more.add_argument("--supernet_learning_rate", type=above_zero, default=2e-5, metavar="X", help="[2e-5]")
    more.add_argument(
        "--supernet_save_steps",
        type=arguments.above_zero,
        default=2000,
        metavar="N",
        help="likewise; evaluating four widths on MNLI's or QQP's dev takes longer than 100 steps [2000]",
    )
    more.add_argument("--batch_size", type=arguments.above_zero, default=32, metavar="N", help="[32]")
    more.add_argument("--max_seq_length", type=arguments.above_zero, default=128, metavar="N", help="[128]")
    more.add_argument("--amp", choices=["off", "bf16", "fp16"], default="off", help="mixed precision, on a GPU [off]")
    more.add_argument(
        "--repeats",
        type=arguments.above_zero,
        default=20,
        metavar="N",
        help="timed runs of each model at each batch size [20]",
    )
    return made  # fmt: skip


def resolve(given: argparse.Namespace) -> tuple[plan.Choice, plan.Settings]:
    """What is to be made and how; UserError for what cannot be."""
    for name in ("models", "tasks", "seeds"):
        values = getattr(given, name)
        if len(set(values)) < len(values):
            raise UserError(f"`{name}` {' '.join(map(str, values))}: each once")
    models = {Path(model).name or model: model for model in given.models}
    if len(models) < len(given.models):
        raise UserError(
            f"`models` {' '.join(given.models)}: two are called alike; the tables could not tell them apart"
        )
    device = accelerator.means(given.device)
    if given.amp != "off" and device != "gpu":
        raise UserError(f"`amp` {given.amp}: needs `device` gpu, and it is {device}")
    gpu_latency = given.device in ("gpu", "cuda") or (given.device == "auto" and bool(accelerator.capabilities()))
    choice = plan.Choice(
        models=models, tasks=tuple(given.tasks), seeds=tuple(given.seeds), device=device, gpu_latency=gpu_latency
    )
    values = {field.name: getattr(given, field.name) for field in dataclasses.fields(plan.Settings)}
    if given.data_dir is not None:
        values["data_dir"] = str(Path(given.data_dir).resolve())
        _check_data(given.data_dir, choice.tasks)
    return choice, plan.Settings(**values)


def _check_data(root: str, tasks: Sequence[str]) -> None:
    missing = [
        figures.DIRECTORIES[name] for name in tasks if not (plan.data_directory(root, name) / "train.tsv").is_file()
    ]
    if missing:
        held = [name for name in figures.DIRECTORIES.values() if (Path(root) / name / "train.tsv").is_file()]
        there = f"it has {' '.join(held)}; name those with `tasks`" if held else "name GLUE's own directory"
        raise UserError(f"`data_dir` {root}: no {', '.join(f'{name}/train.tsv' for name in missing)}; {there}")


def check_settings(output: Path, settings: plan.Settings) -> None:
    """UserError when the directory was begun with others."""
    path = output / SETTINGS
    if path.is_file():
        text = changes(read_object(path), dataclasses.asdict(settings), "`")
        if text:
            raise UserError(f"`output_dir` {output}: {text}; give the same, or name another `output_dir`")


def work(argv: Sequence[str] | None) -> None:
    given = parser().parse_args(argv)
    choice, settings = resolve(given)
    output = Path(given.output_dir)
    if given.dry_run:
        check_settings(output, settings)
        show(preview(choice, settings, output, given.teraflops))
        return
    with lock.holding(output):
        check_settings(output, settings)
        write_json_atomic(output / SETTINGS, dataclasses.asdict(settings))
        report = Report(choice, settings, output)
        run_steps(list(plan.steps(choice, settings, output)), report)
        show(f"{report.write()}\n\n{output}: {TABLES}, {RESULTS}")


def run_steps(steps: Sequence[plan.Step], report: Report) -> None:
    for number, step in enumerate(steps, 1):
        where = f"[{number}/{len(steps)}] {step.title}"
        if step.whole() or step.unless():
            logger.info("%s: %s", where, "there already" if step.whole() else "not needed")
            continue
        log = report.output / LOGS / (step.title.replace(": ", "-").replace(", ", "-").replace(" ", "-") + ".log")
        logger.info("%s; see %s", where, log)
        started = time.monotonic()
        try:
            running.run(step, log)
        except UserError as error:
            if not step.may_fail:
                report.write()
                logger.info("once what follows is mended, %s", running.ON)
                raise
            logger.warning("%s; the tables do without", error)
            report.reasons[step.place] = str(error).removeprefix(f"{step.title}: ").removeprefix(NOTHING)
            continue
        logger.info("%s: done in %.1f minutes", where, (time.monotonic() - started) / 60)
        report.write()


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(work, argv, hint=f"{running.ON.replace('there', 'here')}, also in the middle of a training")


if __name__ == "__main__":
    sys.exit(main())
