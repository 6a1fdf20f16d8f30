"""A teacher for the twin: one that the product finetuned, or an encoder that is finetuned here."""

from __future__ import annotations

import copy
import logging
from dataclasses import replace
from pathlib import Path

import torch

from ofa_bert.data.encoding.batches import Batch, TrainBatches
from ofa_bert.progress import Progress
from ofa_bert.training.settings import FinetuneJob
from ofa_bert.training.supernet.job import SupernetJob
from twin.directory import Directory, read_directory
from twin.graphs import Losses, Replayed
from twin.net import Net
from twin.optimizer import AdamW
from twin.preparation import task_loss
from twin.schedule import make_schedule, stream
from twin.scoring import Data
from twin.step import tensors, update

logger = logging.getLogger("ofa_bert.torch_twin")


class _FinetuneSteps:
    """Plain supervised steps on the whole of `net`."""

    def __init__(self, net: Net, optimizer: AdamW, regression: bool) -> None:
        self.net, self.optimizer, self.regression = net, optimizer, regression
        self._run = Replayed(self._work, optimizer.state) if net.device.type == "cuda" else self._work

    def __call__(self, batch: Batch) -> Losses:
        labels = torch.from_numpy(batch.labels).to(self.net.device)
        return self._run((*tensors(batch, self.net), labels), None)

    def _work(self, inputs: tuple[torch.Tensor, ...], key: None) -> Losses:
        ids, types, labels = inputs
        loss = task_loss(self.net.forward(ids, types, self.net.whole).logits, labels, self.regression)
        update(loss, self.optimizer)
        return [{"loss": loss.detach()}]


def finetuned(job: SupernetJob, data: Data, device: str, how: FinetuneJob, where: Path) -> Directory:
    """The data's own directory with weights that were finetuned as `how` says; the best epoch on dev.

    Written to `where`, which the product reads too; taken from there where it is already.
    """
    if where.is_dir():
        logger.info("%s: the teacher is there already", where)
        return read_directory(str(where), data.task)
    source = data.directory
    torch.manual_seed(job.loop.seed)
    started = source.with_head(data.task.num_labels, job.loop.seed)
    net = Net.of(started, device).trainable(source.dropout, source.attention_dropout)
    batches = TrainBatches(data.train, how.loop.batch_size, job.loop.seed, net.pad_id)
    schedule = make_schedule(how.loop, batches.steps_per_epoch)
    optimizer = AdamW(net.weights, how.optimizer)
    steps = _FinetuneSteps(net, optimizer, data.regression)
    best, scores = started, {"score": float("-inf")}
    with Progress(total=schedule.steps, desc="finetune", unit="step") as bar:
        for number, batch in zip(range(schedule.steps), stream(batches)):
            optimizer.prepare(number, how.optimizer.learning_rate * schedule.factor(number))
            steps(batch)
            bar.update()
            if (number + 1) % batches.steps_per_epoch == 0:
                found = data.scores(net.evaluated(), net.whole)
                logger.info("finetune  step %d  dev %.4f", number + 1, found["score"])
                if found["score"] > scores["score"]:
                    best, scores = replace(started, weights=copy.deepcopy(net.arrays())), found
    best.save(where, data.task, job.loop.length, job.loop.seed, scores)
    return read_directory(str(where), data.task)


def finetuning(job: SupernetJob, epochs: int, rate: float | None) -> FinetuneJob:
    """What `finetune` does with these two told. rate: the peak learning rate; None leaves it as it is."""
    plain = FinetuneJob(data=job.data, model=job.model, output_dir=job.output_dir)
    loop = replace(plain.loop, num_train_epochs=float(epochs))
    optimizer = replace(plain.optimizer, learning_rate=rate) if rate else plain.optimizer
    return replace(plain, loop=loop, optimizer=optimizer)
