"""A module of this package run as a process of its own: a JSON request goes in, the last line it prints comes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import ofa_bert
from ofa_bert.errors import UserError
from ofa_bert.system import environment


def ask(module: str, request: Mapping[str, object]) -> dict[str, object]:
    """The module's answer, or {"error": why there is none}."""
    paths = [str(Path(ofa_bert.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )
    if done.returncode == 0:
        return dict(json.loads(done.stdout.strip().splitlines()[-1]))
    if done.returncode < 0:
        return {"error": f"its process was ended by signal {-done.returncode}; 9 is most often too little memory"}
    return {"error": (done.stderr.strip().splitlines() or ["it failed without a word"])[-1]}


def answer(work: Callable[[dict[str, object]], Mapping[str, object]]) -> int:
    """What the module's main does: read the request, print what `work` makes of it."""
    environment.prepare()
    try:
        result: Mapping[str, object] = work(json.loads(sys.stdin.read()))
    except UserError as error:
        result = {"error": str(error)}
    sys.stdout.write("\n" + json.dumps(result) + "\n")
    return 0
