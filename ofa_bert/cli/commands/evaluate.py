"""What a model or a bundle scores on labelled data."""

from ofa_bert.cli.parser import parse
from ofa_bert.cli.process import show


def run(argv):
    about = "Score a model, a sub-model of a supernet, or a bundle on a labelled file or a GLUE task's dev split."
    example = (
        "python -m ofa_bert evaluate --model_name_or_path ./tmp/SST-2-ofa --width_mult 0.5 --file labelled.tsv\n"
        "python -m ofa_bert evaluate --bundle ./tmp/SST-2-static --precision int8 --data_dir glue/SST-2"
    )
    from ofa_bert.recipes.evaluate_job import EvaluateJob

    job = parse(EvaluateJob, argv, about, example, command="evaluate")
    from ofa_bert.recipes.evaluate import evaluate
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
    if job.output is not None:
        show(f"written to {job.output}")


def _row(label):
    return {
        "label": label.label,
        "examples": str(label.examples),
        "precision": f"{label.precision:.4f}",
        "recall": f"{label.recall:.4f}",
        "F1": f"{label.f1:.4f}",
    }
