"""What every back end is given and gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ofa_bert.runtime.backends.tensorrt import Profile

NO_BF16 = "precision bf16: this processor has no bf16 instructions (AVX512-BF16 or AMX); take fp32 or int8"


class Settings(NamedTuple):
    """How an engine is to compute, all of it resolved."""

    precision: str  # fp32, fp16, bf16, int8 or int8-static
    provider: str  # cpu, cuda or tensorrt
    threads: int
    profile: Profile


class Engine(NamedTuple):
    run: Callable[[np.ndarray, np.ndarray], np.ndarray]
    output: str  # what the model itself calls the logits
    bind: Callable[[np.ndarray, np.ndarray], Callable[[], object]] | None = None
