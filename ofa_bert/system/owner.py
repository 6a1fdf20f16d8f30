"""Which process something belongs to, told apart from a later one that was given the same number."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ofa_bert.reporting import one_line

_LONGEST_COMMAND = 160  # characters of a command line that a message shows


@dataclass(frozen=True)
class Owner:
    """A process: its number, when it started, and the machine with its last boot, since numbers are used again."""

    host: str
    pid: int
    start: str = ""  # in ticks since the boot; "" where the system does not say
    boot: str = ""
    command: str = ""
    since: str = ""  # local time, for people

    @classmethod
    def mine(cls) -> Owner:
        command = " ".join([Path(sys.executable or "python").name, *sys.argv])
        pid, since = os.getpid(), time.strftime("%Y-%m-%d %H:%M:%S")
        return cls(socket.gethostname(), pid, _start(pid) or "", _boot(), command, since)

    @classmethod
    def from_json(cls, found: object) -> Owner | None:
        """None when it is not what `to_json` made."""
        if not isinstance(found, Mapping) or set(found) != set(cls.__dataclass_fields__):
            return None
        texts = all(isinstance(value, str) for name, value in found.items() if name != "pid")
        return cls(**found) if texts and type(found["pid"]) is int and found["pid"] > 0 else None

    def to_json(self) -> dict[str, str | int]:
        return asdict(self)

    def is_me(self) -> bool:
        return self.here() and self.pid == os.getpid() and self.start == (_start(self.pid) or "")

    def here(self) -> bool:
        """Whether it runs or ran on this machine."""
        return self.host == socket.gethostname()

    def alive(self) -> bool | None:
        """Whether the process still runs; None when it is of another machine."""
        if not self.here():
            return None
        if self.boot != _boot():
            return False
        started = _start(self.pid)
        return exists(self.pid) if started is None else bool(started) and started == self.start

    def described(self) -> str:
        shown = self.command if len(self.command) <= _LONGEST_COMMAND else self.command[: _LONGEST_COMMAND - 1] + "…"
        return f"process {self.pid} on {one_line(self.host, 80)} since {one_line(self.since, 40)} ({one_line(shown)})"


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def _start(pid: int) -> str | None:
    """When a process started, "" when it is gone or a zombie; None where the system does not say."""
    if not os.path.exists("/proc/self/stat"):
        return None
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return "" if not exists(pid) else None
    state, *fields = text[text.rindex(")") + 2 :].split()  # a program's name may hold spaces and brackets
    return "" if state in "ZX" else fields[18]  # field 22 of proc(5)'s stat


def exists(pid: int) -> bool:
    """Whether a process of this machine has that number now."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
