"""What a kind of file that is damaged on purpose is, and values that several of them are about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.mutations import Mutation

LAYERS, DEPTH = (0, 2), 4
SHAPE = {
    "num_layers": DEPTH, "hidden_size": 24, "num_heads": 3, "head_dim": 8, "ffn_size": 40, "vocab_size": 27,
    "max_positions": 32, "type_vocab_size": 2, "num_labels": 3,
}  # fmt: skip
SUB_MODEL = {"layers": [0, 1, 2, 3], "heads": [3, 2, 1, 3], "ffn": [40, 10, 20, 40]}
TASK = {"name": "t", "labels": ["a", "b", "c"], "metrics": ["accuracy"], "text_columns": ["text"]}


@dataclass(frozen=True)
class FileKind:
    """`make` fills an empty directory and returns the file in it to damage; `read` does with it what the programs do.

    seal: what whoever damages the file does to others, for example the digest of what he wrote.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    mutate: Mutation
    paddle: bool = False
    refuses: bool = True  # False: a damaged one is passed over, with a warning
    cases: int = 40
    seal: Callable[[Path], None] = lambda _: None
