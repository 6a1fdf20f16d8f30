"""What doctor does, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ofa_bert.options import option
from ofa_bert.reporting import shown_path


@dataclass(frozen=True, kw_only=True)
class DoctorJob:
    """How much of this machine is tried, and where the report goes."""

    quick: bool = option("look at what is installed and run the engines; leave the training steps out", False)
    json: str | None = option("also write all that was found to this file, for a bug report", None)

    def problems(self) -> list[str]:
        if self.json is None:
            return []
        path = Path(self.json)
        if path.is_dir() or not path.name:
            return [f"`json` {shown_path(self.json)}: is a directory; name a file, for example doctor.json"]
        if not path.absolute().parent.is_dir():
            return [f"`json` {shown_path(self.json)}: its directory is not there; make it, or name another file"]
        return []
