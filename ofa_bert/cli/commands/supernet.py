"""Train a once-for-all supernet from a model that run_glue.py finetuned.

    python -u ./run_glue_ofa.py --model_type bert --model_name_or_path ./tmp/SST-2/best --task_name SST-2 \\
        --max_seq_length 128 --batch_size 32 --learning_rate 2e-5 --num_train_epochs 6 --logging_steps 10 \\
        --save_steps 100 --output_dir ./tmp/SST-2-ofa --device gpu \\
        --width_mult_list 1.0 0.8333333333333334 0.6666666666666666 0.5

On several GPUs:    ... --gpus 0,1      or python -m paddle.distributed.launch --gpus "0,1" run_glue_ofa.py ...
On a CPU's cores:   ... --processes 2   or python -m paddle.distributed.launch --nproc_per_node 2 run_glue_ofa.py ...

Writes best/ (best mean over sub-models), last/, the newest checkpoint, importance.png and results.json to --output_dir.

Early exits:        python -u ./run_glue_ofa.py --exits deebert --model_name_or_path ./tmp/SST-2-ofa --output_dir ...
    on a supernet for all its sub-models, on a finetuned model or on an exported sub-model; --exits deebert --help
    explains. Then python -m ofa_bert exits chooses the threshold.
"""

import sys
from collections.abc import Sequence

from ofa_bert.cli.commands import train_exits
from ofa_bert.cli.launch import parse_launched
from ofa_bert.cli.page import leave_page
from ofa_bert.cli.parser import paragraphs
from ofa_bert.cli.process import begin, run_command, show
from ofa_bert.options import options_of
from ofa_bert.training import early
from ofa_bert.training.exits.jobs import ExitTrainingJob
from ofa_bert.training.output_directory import check_free
from ofa_bert.training.recorded import as_recorded
from ofa_bert.training.supernet.job import SupernetJob

# What --exits alone has.
_EXIT_OPTIONS = {
    name: "is about early exits; --exits is required with it"
    for name in {item.name for item in options_of(ExitTrainingJob)} - {item.name for item in options_of(SupernetJob)}
}


def run(argv: Sequence[str] | None) -> None:
    given = sys.argv[1:] if argv is None else argv
    if any(word.split("=")[0] == "--exits" for word in given):
        return train_exits.run(given)
    job, launch = parse_launched(SupernetJob, argv, *paragraphs(__doc__), command="supernet", elsewhere=_EXIT_OPTIONS)
    job = as_recorded(job, job.model.model_name_or_path)
    check_free(job.output_dir, job.loop.resume)
    datasets = begin(job.data, job.loop.device, early.supernet(job), launch)
    from ofa_bert.reporting import explained, table
    from ofa_bert.training import distributed
    from ofa_bert.training.supernet.train import COLUMNS, as_rounded, printable, train_supernet

    results = train_supernet(job, datasets)
    if distributed.is_main():
        last_step = results["history"][-1]["step"]
        show(f"last/, after step {last_step}, on dev:\n")
        show(explained(printable(results["last"], results["teacher"]), COLUMNS))
        if results["best_step"] != last_step:
            show(
                f"\nbest/, after step {results['best_step']}; it was chosen on dev, which flatters its scores there:\n"
            )
            show(table(printable(results["best"], results["teacher"])))
        if "test" in results:
            show(f"\nbest/ on {results['test']['file']}, {results['test']['examples']} examples:\n")
            scores = results["test"]["scores"]
            show(table([{"sub-model": name, **as_rounded(each)} for name, each in scores.items()]))
        leave_page(job.output_dir, "supernet", argv)
        show(f"\nwritten to {job.output_dir}, report.html among it; export one with export_model.py")


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(run, argv)
