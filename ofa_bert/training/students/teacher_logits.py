"""What a teacher answers to the training set: computed once, kept for a resumed run and for the next student."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from ofa_bert.data.encoding.batches import Batch
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.data.tagging.answered import Answered
from ofa_bert.files.kept import keep_content, kept_content
from ofa_bert.models.directories import arrays_of
from ofa_bert.models.supernet import forward, whole
from ofa_bert.training import distributed
from ofa_bert.training.evaluation import predict

logger = logging.getLogger(__name__)


class TeacherLogits:
    """The teacher's logits of the whole training set [N, C], computed by all processes before the first use.

    A file in `directory` that cannot be read or written costs time, never the run.
    """

    def __init__(self, teacher: nn.Layer, encoded: Encoded, num_labels: int, pad_id: int, directory: Path):
        self.teacher, self.encoded, self.num_labels, self.pad_id = teacher, encoded, num_labels, pad_id
        self.directory = directory
        self._answered = Answered(encoded, num_labels)
        self._logits: np.ndarray | None = None

    def of(self, batch: Batch) -> paddle.Tensor:
        """[B, C] for a batch of the training set; [B, T, C] of the tokens that count, where every one has an answer."""
        if self._logits is None:
            path = self.directory / f"teacher-{self._key()}.logits"
            self._logits = self._read(path)
            if self._logits is None:
                self._logits = self._compute()
                distributed.barrier()  # nobody looks for the file any more
                if distributed.is_main():
                    self._keep(path)
        self._answered.logits = self._logits
        return paddle.to_tensor(self._answered.of(batch.index, batch.input_ids.shape[1]))

    def _compute(self) -> np.ndarray:
        everything = whole(self.teacher)

        def run(part: Batch) -> paddle.Tensor:
            return forward(self.teacher, part.input_ids, part.token_type_ids, everything).logits

        return predict(run, self.encoded, self.num_labels, self.pad_id, label="teacher on train")

    def _keep(self, path: Path) -> None:
        keep_content(path, np.ascontiguousarray(self._logits, np.float32).tobytes())

    def _read(self, path: Path) -> np.ndarray | None:
        content = kept_content(path)
        if content is None or len(content) != 4 * self._answered.logits.size:
            return None
        found: np.ndarray = np.frombuffer(content, np.float32).reshape(-1, self.num_labels)
        logger.info("what the teacher answers to train is known: %s", path)
        return found

    def _key(self) -> str:
        """SHA-256 over everything that decides the logits."""
        lengths = np.asarray([len(ids) for ids in self.encoded.input_ids])
        digest = hashlib.sha256()
        for array in (
            *arrays_of(self.teacher).values(),
            lengths,
            *self.encoded.input_ids,
            *self.encoded.token_type_ids,
            *((self.encoded.labels,) if self.encoded.per_token else ()),  # which tokens count
        ):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:32]
