"""Programs that show how trainings go, each written to through its own package. A new one is a class and its entry."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ofa_bert.errors import UserError, first_line
from ofa_bert.files.atomic import write_text_atomic
from ofa_bert.files.reading import read_utf8
from ofa_bert.system import packages
from ofa_bert.training.logs.moment import Moment


@dataclass(frozen=True)
class About:
    """The run that is told of. first_step: the steps that were done before; above 0 it goes on."""

    name: str
    settings: Mapping[str, object] = field(default_factory=dict)
    first_step: int = 0


class Writer(Protocol):
    def write(self, moment: Moment) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Event files in `directory`, as TensorBoard's own package writes them."""

    def __init__(self, directory: Path, about: About) -> None:
        packages.require("tensorboard")
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._writer = EventFileWriter(str(directory))
        if about.first_step:
            # Tells TensorBoard to forget what the run said behind its checkpoint before it was cut off.
            again = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._writer.add_event(self._event(wall_time=time.time(), step=about.first_step + 1, session_log=again))

    def write(self, moment: Moment) -> None:
        values = [self._summary.Value(tag=name, simple_value=value) for name, value in moment.named().items()]
        summary = self._summary(value=values)
        self._writer.add_event(self._event(wall_time=time.time(), step=moment.step, summary=summary))

    def close(self) -> None:
        self._writer.close()


class VisualDL:
    """A log of Paddle's viewer in `directory`."""

    def __init__(self, directory: Path, about: About) -> None:
        self._writer = packages.require("visualdl").LogWriter(logdir=str(directory))

    def write(self, moment: Moment) -> None:
        for name, value in moment.named().items():
            self._writer.add_scalar(tag=name, value=value, step=moment.step)

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run of wandb, whose files go to `directory`; where it is sent, the environment says (WANDB_MODE=offline)."""

    def __init__(self, directory: Path, about: About) -> None:
        wandb = packages.require("wandb")
        known = directory / "run-id"  # so that a run that goes on is the same one there
        goes_on = known.exists() and about.first_step > 0
        try:
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", "ofa_bert"),
                name=about.name,
                dir=str(directory.parent),
                config=dict(about.settings),
                id=read_utf8(known).strip() if goes_on else None,
                resume="allow" if goes_on else None,
                settings=wandb.Settings(silent=True),
            )
        except wandb.Error as error:
            raise UserError(
                f"`log_to` wandb: {first_line(error)}; set WANDB_MODE=offline, or log in with `wandb login`"
            ) from error
        write_text_atomic(known, f"{self._run.id}\n")

    def write(self, moment: Moment) -> None:
        self._run.log(moment.named(), step=moment.step)

    def close(self) -> None:
        self._run.finish()


# Name, of the package and of the directory that it gets -> what writes for it.
VIEWERS: Mapping[str, Callable[[Path, About], Writer]] = {
    "tensorboard": TensorBoard,
    "visualdl": VisualDL,
    "wandb": WeightsAndBiases,
}
