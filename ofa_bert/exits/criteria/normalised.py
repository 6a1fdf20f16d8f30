"""Entropy on a scale from 0 to 1 (FastBERT, GEEP)."""

from __future__ import annotations

import math

import numpy as np

from ofa_bert.exits.criteria.base import Compared
from ofa_bert.exits.criteria.entropy import entropy
from ofa_bert.numerics import Floats


def normalised_entropy(logits: Floats) -> Floats:
    """Entropy as a share of its largest value ln C: 0 to 1 for any number of classes (FastBERT, GEEP)."""
    classes = np.shape(logits)[-1]
    if classes < 2:
        raise ValueError("entropy needs at least two classes")
    return np.minimum(entropy(logits) / math.log(classes), 1.0)


CRITERION = Compared(
    "normalised",
    "entropy as a share of ln of the classes, 0 to 1",
    default_for=("geep",),
    uncertainty=lambda logits, certainty: normalised_entropy(logits),
)
