"""A task's ids as the product draws them, and sub-models scored on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ofa_bert.data.encoding.batches import TrainBatches, eval_batches
from ofa_bert.data.encoding.changed_batches import ChangedBatches, NearWords
from ofa_bert.data.encoding.encoded import Encoded, encode
from ofa_bert.data.held_out import held_out_count, split_holdout
from ofa_bert.numerics import Array, Floats
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.tasks.metrics import compute, main_score
from ofa_bert.tasks.task import Datasets, Task
from ofa_bert.training.supernet.job import SupernetJob
from twin.directory import WORDS, Directory
from twin.net import Net
from twin.step import tensors

_BATCH = 64


@dataclass(frozen=True)
class Data:
    """held_out: the part of train that nothing trains on. near: what words may be replaced by."""

    task: Task
    train: Encoded
    held_out: Encoded
    dev: Mapping[str, Encoded]
    directory: Directory
    near: NearWords | None

    @classmethod
    def of(cls, job: SupernetJob, datasets: Datasets, directory: Directory, words: Floats | None = None) -> Data:
        """words: the table [V, H] that near words are looked up in; the directory's own unless another one teaches."""
        tokenizer, length = directory.tokenizer, job.loop.length
        every = encode(datasets.train, tokenizer, length, progress=False)
        count = held_out_count(len(every), job.held_out_share)
        train, held_out = (every.select(part) for part in split_holdout(len(every), count, job.loop.seed))
        dev = {name: encode(split, tokenizer, length, progress=False) for name, split in datasets.dev.items()}
        table = directory.weights[WORDS] if words is None else words
        near = NearWords.of(tokenizer, table, train) if job.augmentation.augment else None
        return cls(datasets.task, train, held_out, dev, directory, near)

    @property
    def regression(self) -> bool:
        return self.task.kind_name == "regression"

    def batches(self, job: SupernetJob) -> TrainBatches | ChangedBatches:
        plain = TrainBatches(self.train, job.loop.batch_size, job.loop.seed, self.directory.tokenizer.pad_token_id)
        if self.near is None:
            return plain
        return ChangedBatches(plain, self.near, job.augmentation.augment, job.augmentation.augment_share)

    def dropout(self, job: SupernetJob) -> tuple[float, float]:
        """Of hidden states, of attention weights, while the supernet trains."""
        if job.supernet_dropout is not None:
            return job.supernet_dropout, job.supernet_dropout
        return self.directory.dropout, self.directory.attention_dropout

    def scores(self, net: Net, sub_model: SubModelConfig) -> dict[str, float]:
        """On dev."""
        found = [answers(net, sub_model, split) for split in self.dev.values()]
        return scores_of(self.task, found, [split.labels for split in self.dev.values()])


@torch.no_grad()
def answers(net: Net, sub_model: SubModelConfig, encoded: Encoded) -> Floats:
    """Logits [N, C] in the order of the data."""
    found = np.zeros([len(encoded), net.shape.num_labels], np.float32)
    for batch in eval_batches(encoded, _BATCH, net.pad_id):
        found[batch.index] = net.forward(*tensors(batch, net), sub_model).logits.float().cpu().numpy()
    return found


def scores_of(task: Task, logits: Sequence[Floats], labels: Sequence[Array]) -> dict[str, float]:
    """The task's metrics, of a single split by name, and as "score" the mean of the main one over the splits."""
    each = [compute(task, own, wanted) for own, wanted in zip(logits, labels)]
    mean = float(np.mean([main_score(task, metrics) for metrics in each]))
    return {"score": mean, **(each[0] if len(each) == 1 else {})}
