"""A BERT by its four numbers, and what it costs. No Paddle."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass

from ofa_bert.errors import UserError
from ofa_bert.submodels.counting import projection_size

# Bort's ranges; 300 of their combinations have a hidden size that the heads divide.
DEPTHS = (2, 4, 6, 8, 10, 12)
HEADS = (4, 8, 12, 16)
HIDDEN = (512, 768, 1024)
FFN = (256, 512, 768, 1024, 3072)
MOST_PARAMETERS = 10**10


@dataclass(frozen=True, order=True)
class Shape:
    """A BERT by its four numbers: layers D, heads A, hidden size H, FFN neurons I."""

    depth: int
    heads: int
    hidden: int
    ffn: int

    def __post_init__(self) -> None:
        if min(astuple(self)) < 1:
            raise UserError(f"shape {self}: every number must be at least 1")
        if self.hidden % self.heads:
            raise UserError(f"shape {self}: {self.heads} heads do not divide hidden size {self.hidden}")
        count = parameters(self, Surroundings(vocab_size=0, pooler=False))
        if count > MOST_PARAMETERS:
            raise UserError(
                f"shape {self}: has {count:.1e} parameters, more than the {MOST_PARAMETERS:.0e} of any BERT"
            )

    def __str__(self) -> str:
        return f"D{self.depth}_A{self.heads}_H{self.hidden}_I{self.ffn}"

    def to_json(self) -> dict[str, int]:
        return asdict(self)


def shapes(
    depths: Sequence[int] = DEPTHS,
    heads: Sequence[int] = HEADS,
    hidden: Sequence[int] = HIDDEN,
    ffn: Sequence[int] = FFN,
) -> list[Shape]:
    """Every combination whose hidden size the heads divide, each once. UserError when there is none."""
    ranges = [sorted(set(values)) for values in (depths, heads, hidden, ffn)]
    found = [Shape(d, a, h, i) for d, a, h, i in itertools.product(*ranges) if h % a == 0]
    if not found:
        raise UserError(f"no candidate: none of the hidden sizes {list(hidden)} is a multiple of heads {list(heads)}")
    return found


@dataclass(frozen=True)
class Surroundings:
    """What surrounds the encoder of every candidate alike: embedding tables and head."""

    vocab_size: int
    max_positions: int = 512
    type_vocab_size: int = 2
    outputs: int = 0  # of the classifier; 0: there is none
    pooler: bool = True
    embedding_size: int = 0  # of ELECTRA's tables; 0: the hidden size
    per_token: bool = False  # the classifier reads every token, and no pooler


def parameters(shape: Shape, around: Surroundings) -> int:
    """p: the exact number of parameters."""
    hidden, ffn = shape.hidden, shape.ffn
    width = around.embedding_size or hidden
    tables = (around.vocab_size + around.max_positions + around.type_vocab_size + 2) * width
    tables += projection_size(width, hidden)
    attention = 4 * (hidden * hidden + hidden)
    feed_forward = hidden * ffn + ffn + ffn * hidden + hidden
    layer = attention + feed_forward + 4 * hidden  # two LayerNorms
    pooler = (hidden * hidden + hidden) if around.pooler else 0
    classifier = (hidden + 1) * around.outputs
    return tables + shape.depth * layer + pooler + classifier


def operations(shape: Shape, around: Surroundings, length: int = 128) -> int:
    """i by formula: additions, multiplications and other operations for one sequence of `length` tokens.

    A LayerNorm counts 7 per number, a softmax 5, GELU 5; erf, exp, tanh and a comparison are one operation each.
    """
    hidden, ffn, heads = shape.hidden, shape.ffn, shape.heads
    squares = heads * length * length  # attention scores
    projections = 4 * 2 * length * hidden * hidden
    attention = length * hidden + 2 * 2 * length * length * hidden + (1 + 5) * squares  # scale; products; mask, softmax
    feed_forward = 2 * 2 * length * hidden * ffn + 5 * length * ffn
    rest = 2 * (1 + 7) * length * hidden  # two residual sums with their LayerNorms
    tables = 2 if around.type_vocab_size else 1  # additions of embeddings
    width = around.embedding_size or hidden
    embeddings = (tables + 7) * length * width
    if width != hidden:
        embeddings += 2 * length * width * hidden
    pooler = (2 * hidden * hidden + hidden) if around.pooler and not around.per_token else 0
    classifier = 2 * hidden * around.outputs * (length if around.per_token else 1)
    return embeddings + shape.depth * (projections + attention + feed_forward + rest) + pooler + classifier
