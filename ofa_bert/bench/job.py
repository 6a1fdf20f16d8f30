"""What python -m ofa_bert bench does, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_bert.bench.peers.registry import PEERS
from ofa_bert.data.source import DataSource
from ofa_bert.options import option, repeated
from ofa_bert.runtime.backends.base import CPU, PRECISIONS
from ofa_bert.runtime.backends.registry import BACKENDS, OF_MODELS, PROVIDERS, format_of
from ofa_bert.system.accelerator import ENGINE_DEVICES, means


@dataclass(frozen=True, kw_only=True)
class BenchGrid:
    """What is measured: every back end, precision, batch size, length and number of threads with every other."""

    backends: tuple[str, ...] = option(
        "back ends; speed-ups are against the first bundle in the first one, in the first precision",
        tuple(sorted(OF_MODELS, key=lambda name: format_of(name) != "paddle")),  # first what the model was trained with
        choices=BACKENDS,
    )
    precisions: tuple[str, ...] | None = option(
        "precisions; default: all that the bundles hold and the back end computes", None, choices=PRECISIONS
    )
    batch: tuple[int, ...] = option("batch sizes", (1, 16, 40), least=1)
    length: tuple[int, ...] = option("input lengths in tokens; no input is padded", (128,), least=1)
    threads: tuple[int, ...] | None = option("CPU threads of a model; default: all cores", None, least=1)
    device: str = option("where to run; cuda: the same as gpu", "cpu", choices=ENGINE_DEVICES, means=means)
    provider: str | None = option("how the back ends use a GPU; default there: cuda", None, choices=PROVIDERS)
    peers: tuple[str, ...] = option(
        "also measure, with random weights of the same shapes: "
        + "; ".join(f"{peer.name}, {peer.about}" for peer in PEERS.values()),
        (),
        choices=tuple(PEERS),
    )

    def problems(self) -> list[str]:
        found = []
        for name in ("backends", "precisions", "batch", "length", "threads", "peers"):
            found += repeated(name, getattr(self, name) or ())
        if self.provider not in (None, CPU) and self.device == "cpu":
            found.append(f"`provider` {self.provider}: needs `device` gpu")
        return found


@dataclass(frozen=True, kw_only=True)
class RoundSettings:
    """How long each setting is measured."""

    repeats: int = option("timed runs of every model at every setting, in turn", 20, above=0)
    warmup: int = option("untimed rounds before", 3, least=0)
    seconds: float = option(
        "per batch and length: no round begins that would end later, but three are timed", 120.0, above=0
    )
    seed: int = option("of the random token ids", 0, least=0)


@dataclass(frozen=True, kw_only=True)
class BenchJob:
    """Bundles measured against each other."""

    data: DataSource = DataSource()
    bundles: tuple[str, ...] = option("exported bundles to compare, the full model first")
    output_dir: str = option("where rows.json, rows.csv, table.md and the plots go")
    grid: BenchGrid = BenchGrid()
    rounds: RoundSettings = RoundSettings()

    def problems(self) -> list[str]:
        return repeated("bundles", self.bundles)
