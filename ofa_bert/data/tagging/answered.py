"""What a model says of a data set, collected batch by batch."""

from __future__ import annotations

import numpy as np

from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.data.tagging.labels import counted
from ofa_bert.numerics import Array, Ints


class Answered:
    """Collects what a model says of a data set, batch by batch: [N, C], or [M, C] of the tokens that count."""

    def __init__(self, encoded: Encoded, width: int) -> None:
        self._labels = encoded.labels if encoded.per_token else None
        if self._labels is None:
            self._ends = np.arange(1, len(encoded) + 1)
        else:
            self._ends = np.cumsum(counted(self._labels).sum(axis=1))  # [N]
        self.logits = np.zeros([int(self._ends[-1]) if len(self._ends) else 0, width], dtype=np.float32)

    def put(self, index: Ints, logits: Array) -> None:
        """logits: of the examples at `index` [B], [B, C] or [B, T, C], however far these are padded."""
        if self._labels is None:
            self.logits[index] = logits
            return
        mask = counted(self._labels[index])[:, : logits.shape[1]]  # [B, T]
        self.logits[self.places(index)] = logits[:, : mask.shape[1]][mask]

    def places(self, index: Ints) -> Ints:
        """Where the counting tokens of the examples at `index` stand in `logits`, one after the other."""
        if self._labels is None:
            return index
        counts = counted(self._labels[index]).sum(axis=1)
        return np.concatenate([np.arange(end - count, end) for end, count in zip(self._ends[index], counts)])

    def of(self, index: Ints, length: int) -> Array:
        """The inverse of `put`: [B, C], or [B, T, C] with zeros where tokens do not count."""
        if self._labels is None:
            return self.logits[index]
        mask = counted(self._labels[index])[:, :length]
        found = np.zeros([*mask.shape, self.logits.shape[1]], dtype=np.float32)
        found[mask] = self.logits[self.places(index)]
        return found
