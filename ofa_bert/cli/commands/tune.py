"""Finetuning with many hyper-parameters."""

import dataclasses
from collections.abc import Sequence

from ofa_bert.cli.page import leave_page
from ofa_bert.cli.parser import parse
from ofa_bert.cli.process import begin, show
from ofa_bert.training import early
from ofa_bert.training.recorded import with_length


def run(argv: Sequence[str] | None) -> None:
    about = "Finetune with many hyper-parameters: runs that fall behind are stopped, the best is scored on dev, once."
    example = (
        "python -m ofa_bert tune --model_name_or_path ./tmp/small --task_name MRPC\n"
        "    --output_dir ./tmp/MRPC --trials 30\n\n"
        "Takes run_glue.py's flags too. The same command resumes."
    )
    from ofa_bert.training.tuning.job import TuneJob

    job = parse(TuneJob, argv, about, example, command="tune")
    tuned = job.finetuning
    loop = with_length(tuned.loop, tuned.model.model_name_or_path)
    job = dataclasses.replace(job, finetuning=dataclasses.replace(tuned, loop=loop))
    datasets = begin(job.finetuning.data, job.finetuning.loop.device, early.finetuning(job.finetuning))
    from ofa_bert.reporting import table
    from ofa_bert.training.tuning.tune import printable, tune

    results = tune(job, datasets)
    leave_page(job.output_dir, "tune", argv)
    show(table(printable(results)))
    scores = "  ".join(f"{name} {value:.4f}" for name, value in results["dev"].items() if name != "score")
    show(f"\nbest run on dev: {scores}; it is in {job.output_dir}/best")
