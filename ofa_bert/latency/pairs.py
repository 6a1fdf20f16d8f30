"""Measure models beside one reference on this device, each in a precision of its own: ratios of what ran in turn."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ofa_bert.latency.device import Build, Measurer, groups, write_model
from ofa_bert.progress import Progress

_REFERENCE = "reference"


class Alternative(NamedTuple):
    """How a model is run, what builds it, and about how many bytes its weights take."""

    device: Measurer
    build: Build
    size: int


class Beside(NamedTuple):
    """Milliseconds of a model, and of the reference in the same rounds.

    Their ratio is what a slower or faster hour of the machine does not change.
    """

    name: str
    ms: float
    reference_ms: float


def beside(reference: Alternative, others: Mapping[str, Alternative], vocabulary: int) -> Iterator[Beside]:
    """Each of the others, measured in groups that fit in memory; the reference runs in every group.

    vocabulary: of all models.
    """
    if not others:
        return
    every = {**others, _REFERENCE: reference}
    with (
        tempfile.TemporaryDirectory(prefix="ofa-pairs-") as folder,
        Progress(total=len(others), desc="measure beside the full model", unit="model") as bar,
    ):
        files: dict[str, list[Path]] = {}
        for group in groups({name: each.size for name, each in every.items()}, _REFERENCE):
            runs = {}
            for name in group:
                device, build, _ = every[name]
                if name not in files:
                    directory = Path(folder, str(len(files)))
                    directory.mkdir()
                    files[name] = write_model(build(), directory, device)
                runs[name] = device.open(files[name]).bind(*device.inputs(vocabulary))
            times = reference.device.timed(runs)
            for name in group[1:]:
                yield Beside(name, times[name], times[_REFERENCE])
            bar.update(len(group) - 1)
