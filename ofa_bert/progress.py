"""How far long work has come: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import logging
import sys
import time

from tqdm import tqdm

EVERY = 30.0  # seconds between lines where no terminal shows a bar
_LINE = "{desc}: {percentage:3.0f}% ({n_fmt} of {total_fmt}), {elapsed} so far, {remaining} to go{postfix}"


class Progress(tqdm):  # type: ignore[misc]  # tqdm has no types
    """tqdm's bar, arguments as there. Nothing where messages are off, as with --quiet.

    Where standard error is no terminal, work of less than 30 s says nothing, and longer work a line every 30 s at most.
    """

    def __init__(self, *arguments: object, **named: object) -> None:
        # The level that was set, if any: a library's user who sets none sees bars.
        if logging.getLogger("ofa_bert").level > logging.INFO:
            named["disable"] = True
        self._said = time.monotonic()
        self._lines = not getattr(named.get("file") or sys.stderr, "isatty", bool)()
        super().__init__(*arguments, **named)

    def refresh(self, *arguments: object, **named: object) -> object:
        if not self._lines:
            return super().refresh(*arguments, **named)
        if time.monotonic() - self._said >= EVERY:
            self._say()
        return True

    def clear(self, *arguments: object, **named: object) -> None:
        """Makes room for a message; lines need none."""
        if not self._lines:
            super().clear(*arguments, **named)

    def close(self) -> None:
        if self._lines and not self.disable:
            if self.leave and self.format_dict["elapsed"] >= EVERY:
                self._say()
            self.delay = float("inf")  # nothing of a bar was drawn that would have to be finished
        super().close()

    def _say(self) -> None:
        self._said = time.monotonic()
        values = dict(self.format_dict)
        if self.total:
            values["bar_format"] = _LINE
        self.fp.write(self.format_meter(**values) + "\n")
        self.fp.flush()
