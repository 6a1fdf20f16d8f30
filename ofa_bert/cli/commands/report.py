"""The page of a run, made again from its files."""

import logging
import sys
from collections.abc import Sequence

from ofa_bert.cli.parser import parse
from ofa_bert.cli.process import show

logger = logging.getLogger(__name__)


def run(argv: Sequence[str] | None) -> None:
    about = (
        "Write report.html again, the page that every training, search and evaluation leaves: curves, sub-models,"
        " tables, settings. It is made from the files of the directory, those of a run that still trains too."
    )
    example = (
        "python -m ofa_bert report ./tmp/SST-2-ofa\n"
        "python -m ofa_bert report ./tmp/SST-2-ofa --latency_table cpu.json    what its sub-models take there"
    )
    from ofa_bert.report.job import ReportJob

    given = list(sys.argv[1:] if argv is None else argv)
    if given and not given[0].startswith("-"):
        given = ["--output_dir", *given]
    job = parse(ReportJob, given, about, example, command="report")
    from ofa_bert.bundle.latency_table import LatencyTable
    from ofa_bert.report.page import write_page

    tables = {path: LatencyTable.load(path) for path in job.latency_table}
    path, missing = write_page(job.output_dir, tables=tables)
    if missing:
        logger.warning("%s: without pictures: %s", path, missing)
    show(f"written to {path}")
