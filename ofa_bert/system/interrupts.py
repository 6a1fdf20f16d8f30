"""Ctrl-C and SIGTERM end a command where it can be ended, and are never lost.

Python raises KeyboardInterrupt at any instruction, also inside a function that C++ called: Paddle makes an OSError of
what is raised in a PyLayer's backward, and what is raised while an object is torn down is only printed. So the handler
remembers the signal; `deferred` holds it back for a while, and `check` raises it where it was swallowed.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SAME = 1.0  # seconds: a launcher forwards a signal that the terminal has sent to everyone already


class Terminated(KeyboardInterrupt):
    """SIGTERM, as an exception that unwinds like Ctrl-C."""


@dataclass
class _State:
    pending: type[KeyboardInterrupt] | None = None
    since: float = 0.0
    held_back: int = 0


_state = _State()


@contextmanager
def handled() -> Iterator[None]:
    """Inside the block both signals are remembered and raised; a signal that is ignored stays so.

    Only the main thread of a process gets signals: elsewhere, and inside another such block, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is _handle:
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    _state.pending = None
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as nohup and a shell's background jobs ask for
            signal.signal(number, _handle)
    try:
        yield
    finally:
        _state.pending = None
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def deferred() -> Iterator[None]:
    """A first signal that comes inside the block is raised at its end; a second one at once."""
    _state.held_back += 1
    try:
        yield
    finally:
        _state.held_back -= 1
    check()


def renew() -> None:
    """Set the handlers again that `handled` set: Paddle replaces SIGTERM's when it loads, PaddleNLP removes it then.

    Neither does it by Python's means, so that Python goes on naming ours.
    """
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) is _handle:
                signal.signal(number, _handle)


def check() -> None:
    """Raise what was held back or swallowed; and `renew`."""
    renew()
    if _state.pending is not None and not _state.held_back:
        raise _state.pending


def pending() -> type[KeyboardInterrupt] | None:
    """KeyboardInterrupt or Terminated when that signal came since the command began."""
    return _state.pending


def ignore() -> None:
    """From here on nothing is worth interrupting: the process says its last line and ends."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def _handle(number: int, _: FrameType | None) -> None:
    now = time.monotonic()
    if _state.pending is None:
        _state.pending = Terminated if number == signal.SIGTERM else KeyboardInterrupt
        _state.since = now
        if _state.held_back:
            return
    elif now - _state.since < _SAME:
        return
    raise _state.pending


def _forget() -> None:
    """In a forked child: signals do what they do to any process."""
    for number in SIGNALS:
        if signal.getsignal(number) is _handle:
            signal.signal(number, signal.SIG_DFL)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
