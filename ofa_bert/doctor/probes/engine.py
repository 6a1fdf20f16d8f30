"""A process of its own: one engine answers in one precision, is compared, and timed.

python -m ofa_bert.doctor.probes.engine
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ofa_bert.errors import RunError
from ofa_bert.files.fields import Fields
from ofa_bert.runtime.backends import tensorrt
from ofa_bert.runtime.backends.base import Settings
from ofa_bert.runtime.backends.registry import REGISTRY
from ofa_bert.system import child_process, environment
from ofa_bert.system.timing import in_turn

_REPEATS, _SECONDS = 15, 2.0


def answer(request: Mapping[str, object]) -> dict[str, object]:
    """How far the logits are from the reference, and sentences a second of its last batch.

    request: backend, provider, precision, files, and `reference`, a file of ids<i>, types<i> and logits<i>.
    """
    fields = Fields(request, "the request")
    with np.load(fields.text("reference")) as stored:
        arrays = dict(stored)
    batches = [[arrays[f"{name}{i}"] for name in ("ids", "types", "logits")] for i in range(len(arrays) // 3)]
    rows, tokens = batches[-1][0].shape
    profile = tensorrt.Profile((1, rows, rows), (1, tokens, tokens))
    settings = Settings(fields.text("precision"), fields.text("provider"), environment.cores(), profile)
    engine = REGISTRY[fields.text("backend")].load([Path(path) for path in fields.texts("files")], settings)
    found = [np.asarray(engine.run(ids, types), np.float64) for ids, types, _ in batches]
    apart = np.concatenate([ours - theirs[2] for ours, theirs in zip(found, batches)])
    if not np.isfinite(apart).all():
        raise RunError("its logits hold NaN or infinity")
    wanted = np.concatenate([logits for _, _, logits in batches])
    ids, types, _ = batches[-1]
    milliseconds = in_turn({"engine": lambda: engine.run(ids, types)}, _REPEATS, seconds=_SECONDS)["engine"]
    return {
        "largest": float(np.abs(apart).max()),
        "share": float(np.sqrt(np.square(apart).mean()) / wanted.std()),
        "sentences_per_second": rows * 1e3 / float(np.median(milliseconds)),
        "rows": rows,
        "tokens": tokens,
    }


if __name__ == "__main__":
    sys.exit(child_process.answer(answer))
