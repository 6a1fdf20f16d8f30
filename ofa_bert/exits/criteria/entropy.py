"""Entropy of the probabilities (DeeBERT)."""

from __future__ import annotations

import math

import numpy as np

from ofa_bert.exits.criteria.base import CLASSES, Compared, Limit
from ofa_bert.numerics import Floats, log_softmax


def entropy(logits: Floats) -> Floats:
    """Shannon entropy [...] of softmax(logits [..., C]) in nats, 0 to ln C (DeeBERT)."""
    log_p = log_softmax(logits)
    p = np.exp(log_p)
    # 0 * log 0 is 0 here; with a logit of -inf it would be NaN.
    terms = np.multiply(p, log_p, out=np.zeros_like(p), where=p > 0)
    return np.asarray(np.clip(-terms.sum(axis=-1), 0.0, math.log(p.shape[-1])))


CRITERION = Compared(
    "entropy",
    "in nats, 0 to ln of the classes",
    default_for=(CLASSES,),
    uncertainty=lambda logits, certainty: entropy(logits),
    limit=lambda choices: Limit(math.log(choices), f"ln {choices} = {math.log(choices):.3f}"),
    closed=False,
)
