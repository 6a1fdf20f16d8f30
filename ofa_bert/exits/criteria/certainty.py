"""What the exit's own head learned to say of how right it is (BERxiT)."""

from __future__ import annotations

import numpy as np

from ofa_bert.exits.criteria.base import NUMBERS, Compared
from ofa_bert.numerics import Floats


def doubt(logits: Floats, certainty: Floats | None) -> Floats:
    """1 - certainty [...], float64. ValueError without a certainty."""
    if certainty is None:
        raise ValueError("these exits say no certainty")
    return 1.0 - np.asarray(certainty, dtype=np.float64)


CRITERION = Compared(
    "certainty",
    "1 - learned certainty, 0 to 1",
    for_numbers=True,
    needs_certainty=True,
    default_for=(NUMBERS,),
    uncertainty=doubt,
)
