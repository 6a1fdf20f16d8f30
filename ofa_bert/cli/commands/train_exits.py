"""Train early exits on a model that run_glue.py finetuned, on a supernet, or on an exported sub-model.

    python -u ./run_glue_ofa.py --exits deebert --model_name_or_path ./tmp/SST-2-ofa --task_name SST-2 \\
        --output_dir ./tmp/SST-2-exits --device gpu

What --model_name_or_path holds decides what the exits serve: a supernet's serve all its sub-models, each with the
heads of the layers it keeps. deebert leaves the model as it is; geep, joint and alternate train it further (on a
supernet in all its sub-models). The last exit is always the model's own classifier. best/ and last/ hold the model
with exits.safetensors beside it. Then: python -m ofa_bert exits
"""

from collections.abc import Sequence

from ofa_bert.cli.launch import parse_launched
from ofa_bert.cli.page import leave_page
from ofa_bert.cli.parser import paragraphs
from ofa_bert.cli.process import begin, show
from ofa_bert.training import early
from ofa_bert.training.exits.jobs import SUPERNET, SUPERNET_OPTIONS, ExitTrainingJob
from ofa_bert.training.output_directory import check_free
from ofa_bert.training.recorded import as_recorded


def run(argv: Sequence[str] | None) -> None:
    elsewhere = dict.fromkeys(SUPERNET_OPTIONS, SUPERNET)
    job, launch = parse_launched(ExitTrainingJob, argv, *paragraphs(__doc__), command="supernet", elsewhere=elsewhere)
    job = as_recorded(job, job.model.model_name_or_path)
    check_free(job.output_dir, job.loop.resume)
    datasets = begin(job.data, job.loop.device, early.exits(job), launch)
    from ofa_bert.reporting import table
    from ofa_bert.training import distributed
    from ofa_bert.training.exits.train import printable, train_exits

    results = train_exits(job, datasets)
    if distributed.is_main():
        best = results["best"]
        show(f"best/, after step {best['step']}, chosen on the held-out part. Scores on dev by layers run:\n")
        show(table(printable(results)))
        leave_page(job.output_dir, "supernet", argv)
        show(f"\nwritten to {job.output_dir}, report.html among it; choose a threshold with python -m ofa_bert exits")
