"""What every command that trains, searches or evaluates does at its end: it leaves a page of what it found."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Sequence

from ofa_bert.cli.parser import called
from ofa_bert.errors import first_line

logger = logging.getLogger(__name__)


def leave_page(output_dir: str, command: str, argv: Sequence[str] | None) -> None:
    """Write report.html; what goes wrong with it is a warning. command: its name in `commands.registry`."""
    name = called(command)
    words = [*(["python"] if name.endswith(".py") else []), *name.split(), *(sys.argv[1:] if argv is None else argv)]
    try:
        from ofa_bert.report.page import write_page

        path, missing = write_page(output_dir, shlex.join(words))
    except Exception as error:  # a training that came to its end must not fail for a page
        logger.warning("%s: no report.html: %s", output_dir, first_line(error))
        return
    if missing:
        logger.warning("%s: without pictures: %s", path, missing)
