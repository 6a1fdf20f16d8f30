"""Labels and probabilities for the texts of a file, from a bundle."""

from collections.abc import Sequence

from ofa_bert.cli.parser import parse
from ofa_bert.cli.process import show


def run(argv: Sequence[str] | None) -> None:
    about = "Predict the texts of a file with a bundle: the same columns come out, and the labels that were predicted."
    example = (
        "python -m ofa_bert predict --bundle ./tmp/SST-2-small-static --input texts.tsv --output predicted.tsv\n"
        "    --precision int8 --workers 4"
    )
    from ofa_bert.runtime.jobs import PredictJob

    job = parse(PredictJob, argv, about, example, command="predict")
    from ofa_bert.runtime.predict_file import predict_file

    summary = predict_file(job)
    counts = ", ".join(f"{label}: {count}" for label, count in summary["labels"].items())
    show(f"{summary['rows']} rows written to {job.output}" + (f" ({counts})" if counts else ""))
    show(f"{job.input}: {summary['lengths']}")
