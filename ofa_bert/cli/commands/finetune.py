"""Finetune BERT on a GLUE task or on your own data.

    python -u ./run_glue.py --model_type bert --model_name_or_path bert-base-uncased --task_name SST-2 \\
        --max_seq_length 128 --batch_size 32 --learning_rate 2e-5 --num_train_epochs 3 --logging_steps 1 \\
        --save_steps 500 --output_dir ./tmp/SST-2/ --device gpu

Writes best/ (best on dev), last/, the newest checkpoint and results.json to --output_dir.
"""

import dataclasses
from collections.abc import Sequence

from ofa_bert.cli.launch import parse_launched
from ofa_bert.cli.page import leave_page
from ofa_bert.cli.parser import paragraphs
from ofa_bert.cli.process import begin, run_command, show
from ofa_bert.training import early
from ofa_bert.training.output_directory import check_free
from ofa_bert.training.recorded import with_length
from ofa_bert.training.settings import FinetuneJob


def run(argv: Sequence[str] | None) -> None:
    job, launch = parse_launched(FinetuneJob, argv, *paragraphs(__doc__), command="finetune")
    job = dataclasses.replace(job, loop=with_length(job.loop, job.model.model_name_or_path))
    check_free(job.output_dir, job.loop.resume)
    datasets = begin(job.data, job.loop.device, early.finetuning(job), launch)
    # Imported after parsing, as in every command: --help and a mistyped flag need not wait for Paddle.
    from ofa_bert.tasks.metrics import as_text
    from ofa_bert.training import distributed
    from ofa_bert.training.finetune import finetune

    results = finetune(job, datasets)
    if distributed.is_main():
        best = results["best"]
        show(f"best on dev after step {best['step']}: {as_text(best['scores'])}")
        if "test" in results:
            show(f"on {results['test']['file']}: {as_text(results['test']['scores']['best'])}")
        leave_page(job.output_dir, "finetune", argv)
        show(f"written to {job.output_dir}; report.html there shows how it went")


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(run, argv)
