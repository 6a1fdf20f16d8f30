"""How near the logits of what was exported or compiled must be to those of what it was made from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ofa_bert.numerics import Array, Ints

ABSOLUTE = 1e-4  # of fp32: the largest difference
# Of the others: largest share of the logits' own spread that the root mean square of the differences may be. Sound
# models stay far below; one whose arithmetic went wrong answers at random, and is at 1 or more.
RELATIVE = {"fp16": 0.05, "bf16": 0.25, "int8": 0.5, "int8-static": 0.5, "int8-static-fp16": 0.5, "int8-nncf": 0.5}


def counting(logits: Array, input_ids: Ints, pad: int) -> Array:
    """Of logits [B, C] all; of logits [B, T, C] of every token those of tokens, not of padding: [M, C]."""
    return logits if logits.ndim == 2 else np.asarray(logits[input_ids != pad])


def largest(found: Sequence[Array], wanted: Sequence[Array]) -> float:
    """The largest difference of logits [B, C], batch by batch; NaN where one of them is."""
    return max(float(np.abs(have - want).max()) for have, want in zip(found, wanted, strict=True))


def relative(found: Sequence[Array], wanted: Sequence[Array]) -> float:
    """The root mean square of the differences as a share of the spread of what is wanted."""
    want, have = np.concatenate(wanted), np.concatenate(found)  # [N, C]
    # Random tokens may all get the same answer: then their spread says little about the logits' size.
    spread = max(float(want.std(axis=0).mean()), 0.25 * float(np.sqrt((want**2).mean())), 1e-6)
    return float(np.sqrt(((have - want) ** 2).mean())) / spread
