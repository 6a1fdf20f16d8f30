"""The most important heads and neurons of every layer."""

import dataclasses
from collections.abc import Sequence

from ofa_bert.cli.page import leave_page
from ofa_bert.cli.parser import parse
from ofa_bert.cli.process import begin, show
from ofa_bert.training import early
from ofa_bert.training.output_directory import check_free
from ofa_bert.training.recorded import length_of, with_data


def run(argv: Sequence[str] | None) -> None:
    about = (
        "Keep the most important attention heads and FFN neurons of every layer, measured on held-out training data."
    )
    example = (
        "python -m ofa_bert prune --model_name_or_path ./tmp/SST-2-student --target_num_heads 8 \\\n"
        "    --target_ffn_dim 768 --task_name SST-2 --output_dir ./tmp/SST-2-pruned\n\n"
        "Nothing is trained: distil again with --student ./tmp/SST-2-pruned afterwards."
    )
    from ofa_bert.training.students.jobs import PruneJob

    job = parse(PruneJob, argv, about, example, command="prune")
    job = dataclasses.replace(
        with_data(job, job.model_name_or_path),
        max_seq_length=job.max_seq_length or length_of(job.model_name_or_path),
    )
    check_free(job.output_dir, job.resume)
    datasets = begin(job.data, job.device, early.pruning(job))
    from ofa_bert.tasks.metrics import as_text
    from ofa_bert.training.students.prune import prune

    results = prune(job, datasets)
    show(f"before, {results['parameters_before']} parameters, on dev: {as_text(results['before'])}")
    show(f"pruned, {results['parameters']} parameters, on dev: {as_text(results['after'])}")
    leave_page(job.output_dir, "prune", argv)
    show(f"written to {job.output_dir}, report.html among it")
    show(f"distil again into it: python -m ofa_bert distil --student {job.output_dir}")
