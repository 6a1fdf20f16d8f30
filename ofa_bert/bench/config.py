"""Flags of bench."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from ofa_bert.bench.peers.registry import PEERS
from ofa_bert.data.config import DataConfig
from ofa_bert.options import number, option, positive, twice, whole
from ofa_bert.runtime.backends.base import CPU, PRECISIONS
from ofa_bert.runtime.backends.registry import BACKENDS, PROVIDERS, format_of
from ofa_bert.runtime.opening import DEVICES


@dataclass(frozen=True)
class BenchConfig(DataConfig):
    """python -m ofa_bert bench."""

    bundles: tuple = option("exported bundles to compare, the full model first", many=True)
    output_dir: str = option("where rows.json, rows.csv, table.md and the plots go")
    backends: tuple = option(
        "back ends; speed-ups are against the first bundle in the first one, in the first precision",
        tuple(sorted(BACKENDS, key=lambda name: format_of(name) != "paddle")),  # first what the model was trained with
        many=True,
        choices=BACKENDS,
    )
    precisions: tuple | None = option(
        "precisions; default: all that the bundles hold and the back end computes", None, many=True, choices=PRECISIONS
    )
    batch: tuple = option("batch sizes", (1, 16, 40), whole, many=True)
    length: tuple = option("input lengths in tokens; no input is padded", (128,), whole, many=True)
    threads: tuple | None = option("CPU threads of a model; default: all cores", None, whole, many=True)
    device: str = option("where to run", "cpu", choices=DEVICES)
    provider: str | None = option("how the back ends use a GPU; default there: cuda", None, choices=PROVIDERS)
    peers: tuple = option(
        "also measure, with random weights of the same shapes: "
        + "; ".join(f"{peer.name}, {peer.about}" for peer in PEERS.values()),
        (),
        many=True,
        choices=tuple(PEERS),
    )
    repeats: int = option("timed runs of every model at every setting, in turn", 20, whole)
    warmup: int = option("untimed rounds before", 3, whole)
    seconds: float = option(
        "per batch and length: no round begins that would end later, but three are timed", 120.0, number
    )
    seed: int = option("of the random token ids", 0, whole)

    def problems(self) -> list[str]:
        data = any(getattr(self, field.name) not in (None, "auto") for field in dataclasses.fields(DataConfig))
        # The bundles know their task: beside --data_dir the name may be left out.
        named = dataclasses.replace(self, task_name=self.task_name or (self.data_dir and "the bundles'"))
        found = DataConfig.problems(named) if data else []
        for flag in ("bundles", "backends", "precisions", "batch", "length", "threads", "peers"):
            found += twice(flag, getattr(self, flag) or ())
        for flag in ("batch", "length", "threads"):
            found += [f"--{flag} {value}: must be at least 1" for value in getattr(self, flag) or () if value < 1]
        found += positive(self, "repeats", "seconds")
        if self.warmup < 0 or self.seed < 0:
            found.append("--warmup and --seed must not be negative")
        if self.provider not in (None, CPU) and self.device == "cpu":
            found.append(f"--provider {self.provider}: needs --device gpu")
        return found

    @property
    def has_data(self) -> bool:
        return bool(self.task_name or self.data_dir or self.train_file)
