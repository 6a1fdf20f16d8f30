"""python -m robustness.run_cases FACTOR KIND...: damages files of these kinds, seeded; JSON lines say how it ended."""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path

from helpers.limits import outcome
from robustness.file_kinds import KINDS
from robustness.kind import FileKind

SECONDS, MEBIBYTES = 5, 512  # of one case


def run(kind: FileKind, cases: int) -> dict[str, object]:
    """How many cases worked and were refused, and every fault with the number of its case."""
    found: dict[str, object] = {"kind": kind.name, "cases": cases, "works": 0, "refused": 0, "faults": []}
    with tempfile.TemporaryDirectory() as directory:
        path = kind.make(Path(directory))
        whole = {file: file.read_bytes() for file in Path(directory).rglob("*") if file.is_file()}
        assert outcome(lambda: kind.read(path), 60, 4096) == "works", kind.name
        for case in range(cases):
            print(json.dumps([kind.name, case]), flush=True)  # the last line, when a case ends the process
            for file, data in whole.items():  # a reader may repair, or finish, what it finds
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(data)
            path.write_bytes(kind.mutate(random.Random(f"{kind.name} {case}"), whole[path]))
            kind.seal(path)
            ended = outcome(lambda: kind.read(path), SECONDS, MEBIBYTES)
            if ended.startswith("fault"):
                found["faults"].append(f"case {case}: {ended}")
            else:
                found[ended.split(":")[0]] += 1
    return found


if __name__ == "__main__":
    for kind in KINDS:
        if kind.name in sys.argv[2:]:
            print(json.dumps(run(kind, int(kind.cases * float(sys.argv[1])))), flush=True)
