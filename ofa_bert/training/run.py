"""The one skeleton of a training run: plan, optimizer, resume, loop, evaluations, what is kept, results.

The jobs differ in their model, their step and how they evaluate; a `Training` says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from paddle import nn

from ofa_bert.data.tokenization.text_tokenizer import Cutter
from ofa_bert.models.record import ModelRecord
from ofa_bert.training import distributed, loop
from ofa_bert.training.logs.logs import Logs
from ofa_bert.training.logs.viewers import About
from ofa_bert.training.run_directory import Evaluation, RunDirectory, RunState, restore
from ofa_bert.training.settings import Evaluations, LoopSettings, OptimizerSettings

logger = logging.getLogger(__name__)

USUAL = Evaluations()


@dataclass(frozen=True, kw_only=True)
class Training:
    """What one job trains. The model is in training mode during steps, in eval mode while `evaluate` runs.

    trained: what the optimizer holds and a checkpoint restores, where that is more or less than `model`. beside: layers
    saved beside the model. make_step: called when the plan is known. stage_shares: as of `loop.make_plan`. data: what
    it trains and scores on, for results.json.
    """

    name: str
    model: nn.Layer
    tokenizer: Cutter
    record: ModelRecord
    batches: loop.Batches
    make_step: Callable[[loop.Plan], loop.Step]
    evaluate: Callable[[], Evaluation]
    trained: nn.Layer | None = None
    beside: Mapping[str, nn.Layer] = field(default_factory=dict)
    stage_shares: Sequence[float] = ()
    observe: Callable[[int, float], None] = lambda step, score: None
    data: Mapping[str, object] = field(default_factory=dict)


def train(
    training: Training,
    output: Path,
    settings: LoopSettings,
    optimizer_settings: OptimizerSettings,
    evaluations: Evaluations = USUAL,
) -> RunDirectory:
    """Run all steps, from the newest checkpoint when `settings` say so; what was kept of the run."""
    trained = training.model if training.trained is None else training.trained
    plan = loop.make_plan(settings, training.batches.steps_per_epoch, training.stage_shares)
    optimizer = loop.make_optimizer(optimizer_settings, trained, plan)
    state: RunState = restore(output, trained, optimizer) if settings.resume else {}
    kept = RunDirectory(
        output, training.model, training.tokenizer, training.record, state, training.beside, trained, training.data
    )

    patience, last_stage = evaluations.early_stopping, (0, *plan.stage_ends)[-2]

    def ends_at(step: int) -> bool:
        """Whether this evaluation is one of as many in a row, without a better score, as there is patience for."""
        best = kept.best["best"]["step"] if kept.best else 0
        waited = {each for each in (*(entry["step"] for entry in kept.history), step) if each > max(best, last_stage)}
        return patience is not None and len(waited) >= patience

    def checkpoint(step: int) -> bool:
        trained.eval()
        training.model.eval()
        found = training.evaluate()
        trained.train()
        for line in found.lines:
            logger.info("step %d  %s", step, line)
        logs.scores(step, found.scores)
        kept.consider("best", step, found.score, found)
        for name, score in found.also.items():
            kept.consider(name, step, score, found)
        ended = ends_at(step)
        if ended and step < plan.total_steps:
            logger.info("step %d  no better score in %s evaluations: the training ends here", step, patience)
        kept.checkpoint(step, optimizer, found, last=ended or step == plan.total_steps)
        training.observe(step, found.score)
        return ended

    trained.train()
    step = training.make_step(plan)
    first = state.get("step", 0)
    every = plan.epoch_steps if evaluations.eval_every == "epoch" else None
    with _logs(training, output, settings, first) as logs:
        if not ends_at(first):
            loop.fit(
                settings, trained, optimizer, training.batches, plan, step, checkpoint, first, training.name, every,
                logs.losses,
            )  # fmt: skip
    return kept


def _logs(training: Training, output: Path, settings: LoopSettings, first: int) -> Logs:
    if not distributed.is_main():
        return Logs()
    about = About(f"{training.name} {output.name}", training.record.config, first)
    return Logs.opened(output, settings.log_to, about)
