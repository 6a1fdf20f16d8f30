"""A file with one line per finished evaluation, so that a search that was killed does not evaluate anything twice."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ofa_bert.errors import UserError
from ofa_bert.files.atomic import cannot_write
from ofa_bert.files.reading import open_regular, parse_json
from ofa_bert.options import changes
from ofa_bert.reporting import one_line

logger = logging.getLogger(__name__)


class Journal:
    """Records by key, kept in memory and appended to a JSONL file. For one writer.

    The first line holds the settings that every record depends on: a file made with others is refused. A last line that
    a kill cut short is dropped. Without a path nothing is written.
    """

    def __init__(self, path: str | Path | None = None, settings: Mapping[str, Any] | None = None) -> None:
        self.path = None if path is None else Path(path)
        self.records: dict[str, dict[str, Any]] = {}
        if self.path is None:
            return
        header = {"settings": json.loads(json.dumps(dict(settings or {})))}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lines = self._whole_lines()
            if not lines:
                self._append(header)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        if lines:
            self._check(lines[0], header)
        for line in lines[1:]:
            self.records[line["key"]] = line

    def _whole_lines(self) -> list[dict[str, Any]]:
        """Every line that was written to its end; the file is cut behind the last of them."""
        if not self.path.exists():
            return []
        with open_regular(self.path) as file:
            raw = file.read()
        end = raw.rfind(b"\n") + 1
        if end < len(raw):
            logger.warning("%s: dropped a last line that was cut short", self.path)
            with open(self.path, "rb+") as file:
                file.truncate(end)
        try:
            lines = [parse_json(line.decode("utf-8")) for line in raw[:end].splitlines()]
            if not all(isinstance(line, dict) for line in lines):
                raise ValueError("a line that is no object")
            settings = all(isinstance(line.get("settings"), dict) for line in lines[:1])
            if not settings or not all(isinstance(line.get("key"), str) for line in lines[1:]):
                raise ValueError("a line without its key")
            return lines
        except ValueError as error:
            raise UserError(
                f"{self.path}: is no log of evaluations ({error}); move it away or name another directory"
            ) from error

    def _check(self, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        text = changes(found["settings"], wanted["settings"])
        if text:
            raise UserError(f"{self.path}: holds evaluations made otherwise: {one_line(text)}. Name another directory")

    def add(self, key: str, record: Mapping[str, Any]) -> dict[str, Any]:
        """Keep a record, on the disk before this returns."""
        line = {"key": key, **record}
        if self.path is not None:
            try:
                self._append(line)
            except OSError as error:
                raise cannot_write(self.path, error) from error
        self.records[key] = line
        return line

    def _append(self, line: Mapping[str, Any]) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
