"""What a model or a bundle scores on labelled data."""

from ofa_bert.cli.page import leave_page
from ofa_bert.cli.parser import parse
from ofa_bert.cli.process import show


def run(argv):
    about = "Score a model, a sub-model of a supernet, or a bundle on a labelled file or a GLUE task's dev split."
    example = (
        "python -m ofa_bert evaluate --model_name_or_path ./tmp/SST-2-ofa --width_mult 0.5 --file labelled.tsv\n"
        "python -m ofa_bert evaluate --bundle ./tmp/SST-2-static --precision int8 --data_dir glue/SST-2\n"
        "python -m ofa_bert evaluate --model_name_or_path ./tmp/SST-2 --beside ./tmp/SST-2-small --file labelled.tsv"
        " --output_dir ./tmp/evaluation"
    )
    from ofa_bert.recipes.evaluate_job import EvaluateJob

    job = parse(EvaluateJob, argv, about, example, command="evaluate")
    from ofa_bert.recipes.evaluate import evaluate, files_in
    from ofa_bert.reporting import table
    from ofa_bert.tasks.metrics import as_text

    if job.bundle is None:
        from ofa_bert.models.device import select_device

        select_device(job.device)
    found = evaluate(job)
    show(f"{found.what}\n")
    for split in found.splits:
        show(f"{split.split}, {split.examples} examples: {as_text(split.scores)}\n")
        if split.labels:
            show(table([_row(label) for label in split.labels]) + "\n")
        if split.calibration is not None:
            show(f"expected calibration error {split.calibration.error:.4f}\n")
    for other in found.beside:
        show(f"beside {other.what}\n\n{other.split}: {as_text(other.scores)}")
        low, high = (100 * end for end in (other.difference.low, other.difference.high))
        show(f"the first is {100 * other.difference.score:+.2f} points better ({low:+.2f} to {high:+.2f} at 95 %)")
        if other.mcnemar is not None:
            test = other.mcnemar
            show(
                f"right: both {test.both}, only the first {test.first}, only the second {test.second}, neither"
                f" {test.neither}; McNemar's test p = {test.p:.3g}"
            )
        show("")
    if job.output is not None:
        show(f"written to {job.output}")
    if job.output_dir is not None:
        leave_page(job.output_dir, "evaluate", argv)
        show(f"written to {job.output_dir}:")
        for name, what in files_in(job.output_dir).items():
            show(f"  {name}: {what}")


def _row(label):
    return {
        "label": label.label,
        "examples": str(label.examples),
        "precision": f"{label.precision:.4f}",
        "recall": f"{label.recall:.4f}",
        "F1": f"{label.f1:.4f}",
    }
