"""Which exit a sample will need, told from its tokens before anything runs; NumPy alone.

GEEP's second half, whose details its authors did not publish: a table says at which exits the training samples with
that token left. A sample's score is the mean over its tokens of their expected layers; cuts that were set on other
samples turn scores into exits. Samples of one exit then make full batches that run so many layers and one head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ofa_bert.data.encoding.batches import Batch, eval_batches
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.errors import UserError
from ofa_bert.files.weights import read_weights
from ofa_bert.numerics import Array, Floats, Ints

SMOOTHING = 4.0  # a token seen that often is believed half, the rest is what all tokens together say


@dataclass(frozen=True)
class TokenTable:
    """`counts` [V, E + 1]: how often a token stood in a sample that left at that exit.

    `layers` [E + 1]: layers run until each exit. `cuts` [E], ascending: scores above the first i of them mean exit i.
    """

    counts: Array
    layers: Ints
    cuts: Floats

    def distribution(self) -> Floats:
        """P(exit | token) [V, E + 1], drawn towards the distribution over all tokens."""
        prior = self.counts.sum(axis=0) / max(1, self.counts.sum())
        seen = self.counts.sum(axis=1, keepdims=True)
        return np.asarray((self.counts + SMOOTHING * prior) / (seen + SMOOTHING))

    @cached_property
    def expected(self) -> Floats:
        """The layers [V] that each token lets expect."""
        return np.asarray(self.distribution() @ self.layers)

    def scores(self, sequences: Sequence[Ints]) -> Floats:
        """Mean over each sample's tokens of the layers expected for that token [N]; one look-up per token."""
        starts = np.cumsum([0, *map(len, sequences[:-1])])
        return np.add.reduceat(self.expected[np.concatenate(sequences)], starts) / [len(ids) for ids in sequences]

    def predict(self, sequences: Sequence[Ints]) -> Ints:
        """The place [N] of the exit that each sample is predicted to need."""
        return np.searchsorted(self.cuts, self.scores(sequences), side="right")

    def arrays(self) -> dict[str, Array]:
        return {"counts": self.counts, "layers": self.layers, "cuts": self.cuts}


def learn(sequences: Sequence[Ints], places: Ints, layers: Sequence[int], vocab_size: int) -> TokenTable:
    """The table of training samples that left at `places` [N]; its cuts send everybody to the last exit."""
    lengths = [len(ids) for ids in sequences]
    tokens = np.concatenate(sequences)
    cells = tokens * len(layers) + np.repeat(places, lengths)
    counts = np.bincount(cells, minlength=vocab_size * len(layers)).reshape(vocab_size, len(layers))
    return TokenTable(counts, np.asarray(layers, dtype=np.int64), np.full(len(layers) - 1, -np.inf))


def calibrate(table: TokenTable, sequences: Sequence[Ints], places: Ints) -> TokenTable:
    """Set the cuts so that, on these samples, as many are predicted for each exit as left there."""
    ordered = np.sort(table.scores(sequences))
    upto = np.cumsum(np.bincount(places, minlength=len(table.layers)))[:-1]  # samples that left at exit i or before
    edges = np.concatenate([[-np.inf], (ordered[1:] + ordered[:-1]) / 2, [np.inf]])
    return TokenTable(table.counts, table.layers, edges[upto])


def depth_batches(encoded: Encoded, places: Ints, batch_size: int, pad_id: int) -> Iterator[tuple[int, Batch]]:
    """(place of the exit, batch) of samples that share that exit, sorted by length; `Batch.index` is into `encoded`.

    Only the last batch of each exit is not full.
    """
    for place in np.unique(places):
        rows = np.flatnonzero(places == place)
        for batch in eval_batches(encoded.select(rows), batch_size, pad_id):
            yield int(place), Batch(batch.input_ids, batch.token_type_ids, batch.labels, rows[batch.index])


def error_histogram(predicted_layers: Ints, needed_layers: Ints) -> dict[int, int]:
    """|predicted - needed| in layers -> number of samples."""
    off, counts = np.unique(np.abs(predicted_layers - needed_layers), return_counts=True)
    return dict(zip(off.tolist(), counts.tolist()))


TABLE = "exit_table.safetensors"


def read_table(path: Path, layers: list[int], vocab_size: int | None = None) -> TokenTable:
    """The token table of a file; UserError when it belongs to other exits or another vocabulary."""
    arrays = read_weights(path)
    if set(arrays) != {"counts", "layers", "cuts"} or arrays["layers"].tolist() != list(layers):
        raise UserError(f"{path}: no token table for exits after {' '.join(map(str, layers))} layers; make it anew")
    counts, cuts = arrays["counts"], arrays["cuts"]
    rows = counts.shape[0] if vocab_size is None else vocab_size
    if counts.shape != (rows, len(layers)) or cuts.shape != (len(layers) - 1,):
        raise UserError(f"{path}: its table has the shape {counts.shape}, the model needs {(rows, len(layers))}")
    # The first cuts may be -inf and the last ones inf: nobody is sent to those exits.
    if (
        counts.dtype.kind not in "iu"
        or counts.min(initial=0) < 0
        or not (cuts[1:] >= cuts[:-1]).all()
        or (cuts != cuts).any()
    ):
        raise UserError(f"{path}: its counts are no numbers of tokens, or its cuts do not ascend; make it anew")
    return TokenTable(counts, arrays["layers"], cuts)
