"""Finetune a pretrained encoder on one task: the job behind run_glue.py."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paddle

from ofa_bert.data.batches import Batch
from ofa_bert.models.encoder import shape_of
from ofa_bert.models.record import describe
from ofa_bert.models.supernet import forward, whole
from ofa_bert.options import to_json
from ofa_bert.tasks.metrics import as_text
from ofa_bert.tasks.task import Datasets
from ofa_bert.training import loop
from ofa_bert.training.config import FinetuneConfig
from ofa_bert.training.evaluation import score, stock_forward, tuned
from ofa_bert.training.losses.task import KindLosses, losses_of
from ofa_bert.training.run_directory import RunDirectory, check_output_dir, restore
from ofa_bert.training.setup import TrainingSetup, prepare

logger = logging.getLogger(__name__)


def finetune(
    config: FinetuneConfig,
    datasets: Datasets,
    observe: Callable[[int, float], None] = lambda step, score: None,
    token_cache: Path | None = None,
) -> dict[str, Any]:
    """Train on the labels; best/ is the best on dev. Returns what results.json in the output directory says.

    `observe` hears of every evaluation, and may end the run with an exception. token_cache: as of `prepare`.
    """
    output = Path(config.output_dir)
    check_output_dir(output, to_json(config), config.resume, "finetune")
    setup = prepare(config, datasets, config.held_out_share, token_cache=token_cache)
    task, model, pad_id = setup.task, setup.model, setup.tokenizer.pad_token_id
    batches = setup.train_batches(config)
    plan = loop.make_plan(config, batches.steps_per_epoch)
    optimizer = loop.make_optimizer(config, model, plan)
    state = restore(output, model, optimizer) if config.resume else {}
    meta = describe(task, config, **what_it_is(setup))
    kept = RunDirectory(output, model, setup.tokenizer, meta, state)

    def checkpoint(step: int) -> None:
        model.eval()
        decided = tuned(task, model, [stock_forward(model)], setup.held_out, pad_id)
        kept.meta["task"] = decided.to_json()
        scores = score(decided, stock_forward(model), setup.dev, pad_id, label="dev")
        model.train()
        logger.info("step %d  dev %s", step, as_text(scores))
        kept.consider("best", step, scores["score"], scores)
        kept.checkpoint(step, optimizer, scores, last=step == plan.total_steps)
        observe(step, scores["score"])

    model.train()
    step = finetune_step(model, losses_of(task))
    loop.fit(config, model, optimizer, batches, plan, step, checkpoint, state.get("step", 0), "finetune")
    own = {
        "task": task.name,
        "best": kept.best["best"],
        "last": kept.history[-1],
    }
    return kept.write_results(config, own)


def what_it_is(setup: TrainingSetup) -> dict[str, Any]:
    """The full model's shape; of a sub-model that is finetuned further, what it was cut from and how."""
    if setup.meta.get("sub_model"):
        return {"kind": "sub_model", "shape": setup.meta["shape"], "sub_model": setup.meta["sub_model"]}
    return {"kind": "teacher", "shape": shape_of(setup.model).to_json()}


def finetune_step(model: paddle.nn.Layer, losses: KindLosses) -> loop.Step:
    """One batch of plain supervised training."""

    everything = whole(model)

    def step(batch: Batch, number: int, backward: Callable[[paddle.Tensor], None]) -> dict[str, float]:
        # The supernet's forward of the whole model: the stock one has the same outputs and slower CPU gradients.
        logits = forward(model, batch.input_ids, batch.token_type_ids, everything).logits
        loss = losses.task(logits, batch.labels)
        backward(loss)
        return {"loss": loss.item()}

    return step
