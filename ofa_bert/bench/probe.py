"""One model in one back end: how it is opened, and what opening and running it costs a process of its own.

    python -m ofa_bert.bench.probe < request.json    what `probe` starts

Memory is measured in a fresh process for each model, as one that had opened another before would count that too.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np

from ofa_bert.bench.peers.base import Opening
from ofa_bert.bench.peers.registry import PEERS
from ofa_bert.bundle.manifest import Bundle, open_bundle
from ofa_bert.errors import RunError
from ofa_bert.runtime.backends.base import Ids
from ofa_bert.runtime.backends.tensorrt import Profile
from ofa_bert.runtime.opening import Backend, open_model
from ofa_bert.system import child_process
from ofa_bert.system.machine import host_peak_mib


@dataclass(frozen=True)
class Candidate:
    """What a table compares: a bundle's model in a back end and a precision, or a peer of the same shape."""

    bundle: str  # its short name
    path: str
    backend: str  # of opening.BACKENDS, or a peer of peers.registry
    precision: str
    file: str = ""  # a peer's ONNX model

    @property
    def is_peer(self) -> bool:
        return self.backend in PEERS


@dataclass(frozen=True)
class Setup:
    """How candidates are opened; `batches` and `lengths` are all that will be run."""

    device: str
    provider: str | None
    threads: int
    batches: tuple[int, ...]
    lengths: tuple[int, ...]


class Facts(TypedDict, total=False):
    """What is known of a candidate before it is timed; of one that does not run here only the error."""

    peak_memory_mib: float | None
    open_seconds: float
    precision: str  # that it computes in
    error: str


def open_candidate(candidate: Candidate, setup: Setup, bundle: Bundle | None = None) -> Backend:
    """UserError with the cure when it cannot be opened here. bundle: the candidate's, if it is open already."""
    if candidate.is_peer:
        file = Path(candidate.file) if candidate.file else None
        manifest = (bundle or open_bundle(candidate.path)).manifest
        how = Opening(manifest, file, candidate.precision, setup.device, setup.threads)
        return PEERS[candidate.backend].open(how)
    batches, lengths = sorted(setup.batches), sorted(setup.lengths)
    profile = Profile(
        (1, batches[len(batches) // 2], batches[-1]),
        (min(lengths), lengths[len(lengths) // 2], lengths[-1]),
    )
    return open_model(
        bundle or candidate.path, candidate.backend, candidate.precision, setup.device, setup.threads, setup.provider,
        profile,
    )  # fmt: skip


def tokens(batch: int, length: int, pad_token_id: int, seed: int = 0) -> tuple[Ids, Ids]:
    """input_ids and token_type_ids, int64 [B, T], without padding. Small ids are in every vocabulary."""
    ids = np.setdiff1d(np.arange(20), [pad_token_id])
    input_ids = np.random.default_rng(seed).choice(ids, (batch, length)).astype(np.int64)  # [B, T]
    return input_ids, np.zeros_like(input_ids)


def probe(candidate: Candidate, setup: Setup, pad_token_id: int) -> Facts:
    """What `measure` finds in a process of its own, or why the candidate cannot run."""
    request = {"candidate": asdict(candidate), "setup": asdict(setup), "pad_token_id": pad_token_id}
    return cast(Facts, child_process.ask("ofa_bert.bench.probe", request))


def measure(request: dict[str, Any]) -> Facts:
    """Facts of the candidate that `probe` asks for, measured in this process."""
    candidate = Candidate(**request["candidate"])
    setup = Setup(**request["setup"])
    started = time.perf_counter()
    backend = open_candidate(candidate, setup)
    opened = time.perf_counter() - started
    batch = tokens(max(setup.batches), max(setup.lengths), request["pad_token_id"])
    logits = backend.run(*batch)
    if not np.isfinite(logits).all():
        raise RunError("its logits are not finite numbers; export the bundle again, or leave this precision out")
    # Once more: some libraries lay out their memory after the first run.
    backend.run(*batch)
    return {"peak_memory_mib": host_peak_mib(), "open_seconds": opened, "precision": backend.precision}


if __name__ == "__main__":
    sys.exit(child_process.answer(lambda request: dict(measure(request))))
