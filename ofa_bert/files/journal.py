"""A file with one line per finished evaluation, so that a search that was killed does not evaluate anything twice."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from ofa_bert.errors import UserError
from ofa_bert.files.atomic import cannot_write
from ofa_bert.files.reading import Json, open_regular, parse_json
from ofa_bert.options import changes
from ofa_bert.reporting import one_line

logger = logging.getLogger(__name__)


class Journal:
    """Records by key, kept in memory and appended to a JSONL file. For one writer.

    The first line holds the settings that every record depends on: a file made with others is refused. A last line that
    a kill cut short is dropped. Without a path nothing is written.
    """

    def __init__(self, path: str | Path | None = None, settings: Mapping[str, object] | None = None) -> None:
        self.path = None if path is None else Path(path)
        self.records: dict[str, dict[str, Json]] = {}
        if self.path is None:
            return
        header: dict[str, Json] = {"settings": json.loads(json.dumps(dict(settings or {})))}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lines = _whole_lines(self.path)
            if not lines:
                _append(self.path, header)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        if lines:
            _check(self.path, lines[0]["settings"], header["settings"])
        for line in lines[1:]:
            self.records[str(line["key"])] = line

    def add(self, key: str, record: Mapping[str, Json]) -> dict[str, Json]:
        """Keep a record, on the disk before this returns."""
        line: dict[str, Json] = {"key": key, **record}
        if self.path is not None:
            try:
                _append(self.path, line)
            except OSError as error:
                raise cannot_write(self.path, error) from error
        self.records[key] = line
        return line


def _whole_lines(path: Path) -> list[dict[str, Json]]:
    """Every line that was written to its end; the file is cut behind the last of them."""
    if not path.exists():
        return []
    with open_regular(path) as file:
        raw = file.read()
    end = raw.rfind(b"\n") + 1
    if end < len(raw):
        logger.warning("%s: dropped a last line that was cut short", path)
        with open(path, "rb+") as file:
            file.truncate(end)
    try:
        found = [parse_json(line.decode("utf-8")) for line in raw[:end].splitlines()]
        lines = [line for line in found if isinstance(line, dict)]
        if len(lines) < len(found):
            raise ValueError("a line that is no object")
        settings = all(isinstance(line.get("settings"), dict) for line in lines[:1])
        if not settings or not all(isinstance(line.get("key"), str) for line in lines[1:]):
            raise ValueError("a line without its key")
        return lines
    except ValueError as error:
        raise UserError(
            f"{path}: is no log of evaluations ({error}); move it away or name another directory"
        ) from error


def _check(path: Path, before: Json, now: Json) -> None:
    text = changes(before, now) if isinstance(before, dict) and isinstance(now, dict) else ""
    if text:
        raise UserError(f"{path}: holds evaluations made otherwise: {one_line(text)}. Name another directory")


def _append(path: Path, line: Mapping[str, Json]) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
