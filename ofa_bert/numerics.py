"""Small numeric functions that several packages share; NumPy alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

T = TypeVar("T")

# Added to the attention scores of padding, as PaddleNLP does it. Half precision holds it.
MASKED = -1e4


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """log of softmax over the last axis, in float64."""
    logits = np.asarray(logits, dtype=np.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def log_sigmoid(logits: np.ndarray) -> np.ndarray:
    """log of 1 / (1 + exp(-x)), in float64."""
    return -np.logaddexp(0.0, -np.asarray(logits, dtype=np.float64))


def undominated(items: Iterable[T], cost: Callable[[T], float], value: Callable[[T], float]) -> list[T]:
    """The items that no other beats in value without costing more; cheapest first, values ascending.

    Of items with the same value and cost the first one stays.
    """
    front: list[T] = []
    for item in sorted(items, key=lambda item: (cost(item), -value(item))):  # stable: the first of equals stays first
        if not front or value(item) > value(front[-1]):
            front.append(item)
    return front
