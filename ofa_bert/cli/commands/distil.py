"""A small student, trained on what a teacher answers."""

from collections.abc import Sequence

from ofa_bert.cli.launch import parse_launched
from ofa_bert.cli.page import leave_page
from ofa_bert.cli.process import begin, show
from ofa_bert.training import early
from ofa_bert.training.output_directory import check_free
from ofa_bert.training.recorded import as_recorded

EXAMPLE = """python -m ofa_bert distil --teacher ./tmp/SST-2 --student ./small-encoder --task_name SST-2 \\
    --output_dir ./tmp/SST-2-student
python -m ofa_bert distil --teacher ./tmp/SST-2 --student 6,12,768,1536 --task_name SST-2 \\
    --output_dir ./tmp/SST-2-cut

On several GPUs: ... --gpus 0,1        On a CPU's cores: ... --processes 2

best/ is the best on dev, as run_glue.py's. With --state_weight 0 and --attention_weight 0 the teacher runs over train
only once. Then: export_model.py, python -m ofa_bert prune, or all of it at once: python -m ofa_bert recipe
"""


def run(argv: Sequence[str] | None) -> None:
    about = "Train a small student on what a finetuned teacher answers (and, if asked, on its states and attention)."
    from ofa_bert.training.students.jobs import DistilJob

    job, launch = parse_launched(DistilJob, argv, about, EXAMPLE, command="distil")
    job = as_recorded(job, job.pair.teacher)
    check_free(job.output_dir, job.loop.resume)
    datasets = begin(job.data, job.loop.device, early.distilling(job.pair, job.loop), launch)
    from ofa_bert.tasks.metrics import as_text
    from ofa_bert.training import distributed
    from ofa_bert.training.students.train import distil

    results = distil(job, datasets)
    if distributed.is_main():
        best, sizes = results["best"], (results["teacher_parameters"], results["parameters"])
        show(f"teacher, {sizes[0]} parameters, on dev: {as_text(results['teacher'])}")
        show(f"student, {sizes[1]} parameters, on dev: {as_text(best['scores'])} (best, step {best['step']})")
        if "test" in results:
            show(f"student on {results['test']['file']}: {as_text(results['test']['scores']['best'])}")
        leave_page(job.output_dir, "distil", argv)
        show(f"written to {job.output_dir}; report.html there shows how it went")
