"""Everything that is told how a training goes: its own log, and the viewers that were asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from ofa_bert.training.logs.moment import Moment, named_scores
from ofa_bert.training.logs.run_log import RunLog
from ofa_bert.training.logs.viewers import VIEWERS, About, Writer


class Logs:
    """Opened by `with`. Without writers, as in every process but the first, nothing is written."""

    def __init__(self, writers: Sequence[Writer] = ()) -> None:
        self._writers = tuple(writers)

    @classmethod
    def opened(cls, output: Path, viewers: Sequence[str], about: About) -> Logs:
        """UserError for a viewer whose package is not there, or does not work."""
        with ExitStack() as opened:
            writers: list[Writer] = [RunLog(output, about.first_step)]
            opened.callback(writers[0].close)
            for name in viewers:
                writers.append(VIEWERS[name](output / name, about))
                opened.callback(writers[-1].close)
            opened.pop_all()
        return cls(writers)

    def __enter__(self) -> Logs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as closing:
            for writer in self._writers:
                closing.callback(writer.close)

    def losses(self, step: int, losses: Mapping[str, float], learning_rate: float, steps_per_second: float) -> None:
        self._write(Moment(step=step, losses=losses, learning_rate=learning_rate, steps_per_second=steps_per_second))

    def scores(self, step: int, scores: Mapping[str, object]) -> None:
        """Of an evaluation, whatever their form."""
        self._write(Moment(step=step, scores=named_scores(scores)))

    def _write(self, moment: Moment) -> None:
        for writer in self._writers:
            writer.write(moment)
