"""What a training command does before its first step: data, model, tokenizer and token ids."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import paddle
from paddle import nn

from ofa_bert.data.description import TokenLengths, described, facts, much_is_cut
from ofa_bert.data.encoding.batches import TrainBatches
from ofa_bert.data.encoding.changed_batches import ChangedBatches, NearWords
from ofa_bert.data.encoding.encoded import Encoded, texts_of
from ofa_bert.data.encoding.token_ids import encode_once
from ofa_bert.data.held_out import held_out_count, split_holdout
from ofa_bert.data.tokenization.text_tokenizer import Cutter
from ofa_bert.errors import UserError
from ofa_bert.models.config_checks import OTHER_CLASSES
from ofa_bert.models.directories import load_model
from ofa_bert.models.encoder import longest_input, shape_of, word_embeddings
from ofa_bert.models.paddlenlp_tokenizer import compare_with_paddlenlp
from ofa_bert.models.record import ModelRecord, best_of, check_task
from ofa_bert.tasks.task import Datasets, Task
from ofa_bert.training import distributed
from ofa_bert.training.losses.task import losses_of
from ofa_bert.training.settings import Augmentation, LoopSettings, ModelSource

Head = Literal["needed", "may_be_missing", "fresh"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingSetup:
    """A task's token ids beside the model that reads them. `held_out` is a part of train that nothing trains on."""

    task: Task
    train: Encoded
    held_out: Encoded | None
    dev: Mapping[str, Encoded]
    model: nn.Layer
    tokenizer: Cutter
    record: ModelRecord
    scored_on: str = "dev"  # what a log calls `dev`
    facts: Mapping[str, object] = field(default_factory=dict)  # of the data, for results.json

    @property
    def measured(self) -> Encoded:
        """The held-out part, for a job that asked for one."""
        if self.held_out is None:
            raise ValueError("no part of train is held out")
        return self.held_out

    def train_batches(
        self, settings: LoopSettings, augmentation: Augmentation | None = None, teacher: nn.Layer | None = None
    ) -> TrainBatches | ChangedBatches:
        """Of this process. augmentation: with texts changed by near words in the embeddings of `teacher`, else `model`.

        The words are looked up at once, before a training changes the embeddings.
        """
        batches = TrainBatches(
            trained_on(self.task, self.train),
            settings.batch_size,
            settings.seed,
            self.tokenizer.pad_token_id,
            rank=distributed.rank(),
            world=distributed.world_size(),
        )
        if augmentation is None or not augmentation.augment:
            return batches
        near = NearWords.of(self.tokenizer, word_embeddings(teacher or self.model), self.train)
        return ChangedBatches(batches, near, augmentation.augment, augmentation.augment_share)


def trained_on(task: Task, train: Encoded) -> Encoded:
    """The data as a step sees them: rows stay together only where the losses compare them."""
    return train if losses_of(task).joint else train.alone()


def prepare(
    source: ModelSource,
    settings: LoopSettings,
    datasets: Datasets,
    token_cache: Path,
    held_out_share: float = 0.0,
    head: Head = "may_be_missing",
) -> TrainingSetup:
    """Load the model and turn the data into ids; a share of train is held out when asked for.

    head: whether a classifier or pooler that the source lacks is a UserError or starts at random, as a fresh one does
    whatever the source has.
    token_cache: the directory where token ids are kept, for runs that share them.
    """
    task = datasets.task
    where = best_of(source.model_name_or_path)
    paddle.seed(settings.seed)  # a pooler or classifier that the source lacks starts at random values
    labels = None if head == "needed" else task.num_labels
    model, tokenizer, record = load_model(
        where, source.model_type, labels, source.tokenizer_name_or_path, task=task, fresh_head=head == "fresh"
    )
    if head == "fresh":
        built = shape_of(model)
        shape = record.shape and dataclasses.replace(
            record.shape, num_labels=task.num_labels, per_token=built.per_token
        )
        record = dataclasses.replace(record, task=None, shape=shape)
    task = check_task(where, record, task)
    if model.config.num_labels != task.num_labels:
        raise UserError(
            f"{where}: answers with {model.config.num_labels} numbers, {task.name} needs {task.num_labels};"
            f" {OTHER_CLASSES}"
        )
    distributed.same_start(model.parameters())
    length = settings.length
    if length > longest_input(model):
        raise UserError(f"`max_seq_length` {length}: the model has positions for {longest_input(model)} tokens")
    progress = distributed.is_main()
    if progress:
        compare_with_paddlenlp(tokenizer, texts_of(datasets.train))
    train, *others = (
        encode_once(split, tokenizer, length, token_cache, progress, task.doc_stride)
        for split in (datasets.train, *datasets.dev.values())
    )
    dev = dict(zip(datasets.dev, others))
    held_out = None
    held_out_share = held_out_share or task.share_to_tune  # which needs a part for its thresholds
    if held_out_share > 0:
        count = train.examples
        rest, held = split_holdout(count, held_out_count(count, held_out_share), settings.seed)
        train, held_out = train.take(rest), train.take(held)
    scored_on = datasets.scored_on
    scored = {_called(name, scored_on): part for name, part in dev.items()}
    parts = {"train": train, "held out from train": held_out, **scored}
    _tell(task, parts)
    _tell_lengths(task, train, length, longest_input(model))
    about = facts(task, parts, length)
    return TrainingSetup(task, train, held_out, dev, model, tokenizer, record, scored_on, about)


def _tell(task: Task, parts: Mapping[str, Encoded | None]) -> None:
    for name, part in parts.items():
        if part is not None:
            logger.info("%s: %s %s", task.name, name, described(task, part))


def _tell_lengths(task: Task, train: Encoded, limit: int, positions: int) -> None:
    if train.whole is None or not distributed.is_main():
        return
    logger.info("%s: train %s", task.name, TokenLengths.of(train.whole, limit))
    advice = much_is_cut(train.whole, limit, positions)
    if advice:
        logger.warning("%s", advice)


def _called(split: str, scored_on: str) -> str:
    return split if split == scored_on else f"{scored_on} {split}"
