"""An acceptance test of this machine."""

from collections.abc import Sequence

from ofa_bert.cli.parser import parse
from ofa_bert.cli.process import show


def run(argv: Sequence[str] | None) -> None:
    about = (
        "Try this machine in about two minutes: what is installed and fits together, a training step, an export, and"
        " every engine against Paddle's own model.\n\n"
        "Each part runs by itself, on tiny models with random weights that are made on the spot; nothing is downloaded."
        " The exit code is 1 when something that is installed is broken."
    )
    example = "python -m ofa_bert doctor\npython -m ofa_bert doctor --quick --json doctor.json    for a bug report"
    from ofa_bert.doctor.job import DoctorJob

    job = parse(DoctorJob, argv, about, example, command="doctor")
    from ofa_bert.doctor import report
    from ofa_bert.doctor.examine import examine
    from ofa_bert.errors import RunError
    from ofa_bert.files.atomic import write_json_atomic

    findings = examine(job.quick)
    show(report.as_text(findings))
    if job.json is not None:
        write_json_atomic(job.json, report.as_json(findings))
    wrong = report.broken(findings)
    if wrong:
        raise RunError(f"{len(wrong)} of {len(findings)} parts are broken: {', '.join(wrong)}")
