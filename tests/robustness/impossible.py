"""Files that are sound JSON and say what cannot be."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from helpers.limits import outcome
from robustness.file_kinds import KINDS

DEEP = "@deep@"  # stands for 10,000 lists inside each other
BY_NAME = {kind.name: kind for kind in KINDS}

Case = tuple[tuple[Any, ...], object, str]  # (place of the value, value, what the message says)


def changed(content: str, place: tuple[Any, ...], value: object) -> str:
    """A JSON text, or JSON lines, with one value replaced."""
    lines = [json.loads(line) for line in content.splitlines()] if isinstance(place[0], int) else [json.loads(content)]
    holder = lines if isinstance(place[0], int) else lines[0]
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    text = "".join(json.dumps(line) + "\n" for line in lines)
    return text.replace(json.dumps(DEEP), "[" * 10_000 + "]" * 10_000)


def not_refused(name: str, cases: list[Case], home: Path) -> list[tuple[object, ...]]:
    """The cases of a kind of file that do not end in one line which says the words."""
    kind, other = BY_NAME[name], []
    (home / "whole").mkdir()
    kind.read(kind.make(home / "whole"))  # also imports what it needs, which takes longer than a case may
    for number, (place, value, words) in enumerate(cases):
        directory = home / str(number)
        directory.mkdir()
        path = kind.make(directory)
        path.write_text(changed(path.read_text(encoding="utf-8"), place, value), encoding="utf-8")
        kind.seal(path)
        found = outcome(lambda path=path: kind.read(path), 10, 2048)  # type: ignore[misc]
        if not re.match(f"refused: .*({words})", found):
            other.append((place, str(value)[:40], words, found[:300]))
    return other
