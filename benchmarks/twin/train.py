"""Recipes tried by the twin: a supernet a seed, every sub-model beside its teacher on dev."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ofa_bert.cli.process import show
from ofa_bert.data.held_out import HeldOut
from ofa_bert.errors import UserError
from ofa_bert.files import lock
from ofa_bert.models.families.bert import BERT
from ofa_bert.models.record import ModelRecord
from ofa_bert.options import to_json
from ofa_bert.tasks.task import Datasets
from ofa_bert.training import early
from ofa_bert.training.supernet.job import SupernetJob
from twin.command_line import Told, limited, told_to_train
from twin.device import card, device_of
from twin.directory import WORDS, read_directory
from twin.net import Net
from twin.scoring import Data
from twin.step import Tried
from twin.supernet import Trained, train_supernet
from twin.tables import seeds_table
from twin.teacher import finetuned, finetuning

logger = logging.getLogger("ofa_bert.torch_twin")

ROWS, TABLE = "rows.jsonl", "table.md"


def train(argv: Sequence[str]) -> None:
    """A line of rows.jsonl after every seed, table.md after the last."""
    told = told_to_train(argv)
    job, device, output = told.job(), device_of(told.own.device), Path(told.own.output_dir)
    datasets = limited(job.data.load(), told.own.examples)
    early.supernet(job)(datasets.task)
    output.mkdir(parents=True, exist_ok=True)
    with lock.holding(output):
        if (output / ROWS).exists():
            raise UserError(f"--output_dir {output}: has {ROWS} already; name a new directory")
        job = _with_teacher(told, job, datasets, device)
        rows, tried = [], Tried(told.own.try_relation, told.own.try_shallow)
        for seed in told.own.seeds:
            rows.append(_row(replace(job, loop=replace(job.loop, seed=seed)), datasets, device, tried, told.own.keep))
            with (output / ROWS).open("a", encoding="utf-8") as file:
                file.write(json.dumps({**rows[-1], "command": list(argv)}) + "\n")
        text = seeds_table(rows)
        (output / TABLE).write_text(text + "\n", encoding="utf-8")
    show(text)


def _with_teacher(told: Told, job: SupernetJob, datasets: Datasets, device: str) -> SupernetJob:
    """The job with a directory of a finetuned teacher."""
    found = read_directory(job.model.model_name_or_path, datasets.task)
    if found.finetuned:
        return job
    data = Data.of(job, datasets, found)
    own = told.own
    how = finetuning(job, own.finetune_epochs, own.finetune_learning_rate)
    teacher = finetuned(job, data, device, how, Path(own.output_dir, "teacher"))
    return replace(job, model=replace(job.model, model_name_or_path=teacher.where))


def _row(job: SupernetJob, datasets: Datasets, device: str, tried: Tried, keep: bool) -> dict[str, Any]:
    """Of one seed. differences: in percent points of the main score."""
    started = time.monotonic()
    torch.manual_seed(job.loop.seed)
    directory = read_directory(job.model.model_name_or_path, datasets.task)
    teaching = read_directory(job.teacher, datasets.task) if job.teacher else directory
    data = Data.of(job, datasets, directory, teaching.weights[WORDS])
    start, teacher = Net.of(directory, device), Net.of(teaching, device)
    taught, begun = data.scores(teacher, teacher.whole), data.scores(start, start.whole)
    trained = train_supernet(job, data, start, teacher, tried)
    if keep:
        where = Path(job.output_dir, f"supernet_{job.loop.seed}")
        replace(directory, weights=trained.net.arrays()).write(where, _record(job, data, trained, taught))
    main = {name: scores["score"] for name, scores in trained.scores.items()}
    differences = {name: 100 * (score - taught["score"]) for name, score in main.items()}
    seconds = time.monotonic() - started
    logger.info("seed %d: %d steps in %.0f s", job.loop.seed, trained.steps, seconds)
    return {
        "task": datasets.task.name, "seed": job.loop.seed, "teacher": taught, "start": begun, "scores": main,
        "differences": differences, "all_scores": trained.scores, "layer_choice": trained.layers.to_json(),
        "tried": asdict(tried), "steps": trained.steps, "seconds": seconds, "device": card(device),
        "torch": torch.__version__, "settings": to_json(job),
    }  # fmt: skip


def _record(job: SupernetJob, data: Data, trained: Trained, taught: Mapping[str, float]) -> ModelRecord:
    """The product's of a supernet."""
    return ModelRecord(
        kind="supernet", task=data.task, model_type=BERT.model_type, max_seq_length=job.loop.length, seed=job.loop.seed,
        shape=trained.space.shape, space=trained.space, held_out=HeldOut.of(data.held_out, job.loop.seed),
        scores=trained.scores, config=to_json(job),
        more={"teacher": taught, "layer_choice": trained.layers.to_json()},
    )  # fmt: skip
