"""What an output directory holds of a run, found out without Paddle."""

from __future__ import annotations

import re
from pathlib import Path

from ofa_bert.errors import UserError

RESULTS = "results.json"  # what a finished run says of itself
RUN = "ofa_run.json"  # what a run was told, from its beginning on
_CHECKPOINT_NAME = re.compile(r"checkpoint-(\d+)")


def checkpoints_in(output_dir: str | Path) -> list[Path]:
    """All checkpoint directories, whole or not, newest first."""
    output_dir = Path(output_dir)
    if not output_dir.is_dir():
        return []
    found = [path for path in output_dir.iterdir() if _CHECKPOINT_NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=step_of, reverse=True)


def step_of(path: Path) -> int:
    """The step that a checkpoint's name says."""
    return int(path.name.removeprefix("checkpoint-"))


def check_free(output_dir: str | Path, resume: bool) -> bool:
    """Whether it holds a run already: one with best/, last/ or a checkpoint. Without `resume` that is a UserError."""
    path = Path(output_dir)
    if path.exists() and not path.is_dir():
        raise UserError(f"`output_dir` {path}: is a file; name a directory")
    results = [name for name in ("best", "last") if (path / name).exists()]
    results += [found.name for found in checkpoints_in(path)]
    if results and not resume:
        raise UserError(
            f"`output_dir` {path}: holds a run already ({', '.join(results[:3])}); continue it with `resume`,"
            " or name another directory"
        )
    return bool(results)
