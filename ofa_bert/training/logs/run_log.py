"""The file that every training leaves beside its results: a line of JSON for each moment. Imports no Paddle."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from ofa_bert.errors import UserError
from ofa_bert.files.atomic import cannot_write, write_text_atomic
from ofa_bert.files.fields import Fields
from ofa_bert.files.reading import open_regular, parse_json
from ofa_bert.training.logs.moment import Moment

logger = logging.getLogger(__name__)

LOG = "log.jsonl"


class RunLog:
    """Appends to a directory's log. A run that goes on after `first_step` steps forgets what was said behind them."""

    def __init__(self, directory: Path, first_step: int) -> None:
        self.path = directory / LOG
        kept = [moment for moment in _before(self.path) if moment.step <= first_step] if first_step else []
        write_text_atomic(self.path, "".join(map(_line, kept)))
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115  # open until `close`

    def write(self, moment: Moment) -> None:
        """RunError when the disk refuses. An evaluation is on the disk before its checkpoint is."""
        try:
            self._file.write(_line(moment))
            self._file.flush()
            if moment.scores:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def close(self) -> None:
        self._file.close()


def read_log(directory: Path) -> tuple[Moment, ...]:
    """All that was said, () without a log. A last line that a kill cut short is left out; UserError for any other."""
    path = directory / LOG
    if not path.exists():
        return ()
    try:
        with open_regular(path) as file:
            raw = file.read()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    whole = raw[: raw.rfind(b"\n") + 1].splitlines()
    return tuple(_read(line, f"{path}, line {number}") for number, line in enumerate(whole, 1))


def _before(path: Path) -> tuple[Moment, ...]:
    try:
        return read_log(path.parent)
    except UserError as error:
        logger.warning("%s; it begins anew", error)
        return ()


def _read(line: bytes, where: str) -> Moment:
    try:
        value = parse_json(line.decode("utf-8"))
    except ValueError as error:
        raise UserError(f"{where}: not JSON ({error}); no training wrote it so") from error
    return Moment.of(Fields(value, where, "no training wrote it so"))


def _line(moment: Moment) -> str:
    return json.dumps(moment.to_json(), ensure_ascii=False) + "\n"
