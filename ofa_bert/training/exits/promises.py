"""What the held-out part promises of thresholds, and whether it is enough for the drop that is asked for."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ofa_bert.errors import UserError
from ofa_bert.exits.outputs import Outputs
from ofa_bert.exits.promise import CONFIDENCE, bound, needed
from ofa_bert.exits.sweep import answers_at
from ofa_bert.training.exits.jobs import ExitChoiceJob
from ofa_bert.training.exits.subject import ExitRoute, Subject

logger = logging.getLogger(__name__)


def confidence_of(job: ExitChoiceJob) -> float:
    """Of what is told and kept of each threshold, also where the measured drop chooses."""
    return job.sure or CONFIDENCE


def bounds_of(subject: Subject, held_out: Outputs, ways: Sequence[ExitRoute], confidence: float) -> list[float]:
    """The drop that each way promises; the first is without early exits, which loses nothing."""
    whole, labels = held_out.logits[-1], subject.held_out.labels
    answered = (answers_at(held_out, way.places(held_out, subject.held_out)) for way in ways[1:])
    return [0.0, *(bound(subject.task, each, whole, labels, confidence) for each in answered)]


def check_enough(job: ExitChoiceJob, examples: int) -> None:
    """UserError when so few held-out texts cannot promise the drop, whatever they say."""
    drop = job.target_drop
    if drop is None or not job.sure:
        return
    least = needed(drop, job.sure)
    if least is None:
        raise UserError(
            f"`target_drop` {drop:g}: no number of held-out texts promises with {_percent(job.sure)} that so little is"
            " lost; allow a little, or give `confidence` 0 for the drop as measured"
        )
    if examples < least:
        raise UserError(
            f"`target_drop` {drop:g}: needs {least} held-out texts or more to be promised with {_percent(job.sure)}"
            f" confidence, there are {examples}; train the exits with a larger `held_out_share` or on more data, allow"
            " a larger drop, or give `confidence` 0 for the drop as measured"
        )


def warn_of_none(job: ExitChoiceJob, chosen: int, bounds: Sequence[float]) -> None:
    """Where not even the most careful threshold keeps the promise, nobody leaves early."""
    if job.target_drop is None or not job.sure or chosen or len(bounds) < 2:
        return
    logger.warning(
        "no threshold promises to lose at most %g of the score: the most careful one may lose %.4g (%s); nobody leaves"
        " early. Allow so much, hold out more texts, or give `confidence` 0 for the drop as measured",
        job.target_drop, bounds[1], _percent(job.sure),
    )  # fmt: skip


def _percent(confidence: float) -> str:
    return f"{100 * confidence:g} %"
