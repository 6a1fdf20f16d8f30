"""Measure models beside one reference on this device, each in a precision of its own: ratios of what ran in turn."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ofa_bert.latency.device import Build, Measurer, groups, write_model
from ofa_bert.progress import Progress
from ofa_bert.runtime.opening import Backend

_REFERENCE = "reference"


class Alternative(NamedTuple):
    """How a model is run, what builds it, and about how many bytes its weights take."""

    device: Measurer
    build: Build
    size: int


def beside(
    reference: Alternative, others: Mapping[str, Alternative], vocabulary: int
) -> dict[str, tuple[float, float]]:
    """(milliseconds, those of the reference in the same rounds) of each of the others.

    The ratio of the two is what a slower or faster hour of the machine does not change. vocabulary: of all models.
    """
    every = {**others, _REFERENCE: reference}
    found: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory(prefix="ofa-pairs-") as folder:
        bar = Progress(total=len(others), desc="measure beside the full model", unit="model")
        files: dict[str, list[Path]] = {}
        for group in groups({name: each.size for name, each in every.items()}, _REFERENCE) if others else ():
            runs = {}
            for name in group:
                device, build, _ = every[name]
                if name not in files:
                    directory = Path(folder, str(len(files)))
                    directory.mkdir()
                    files[name] = write_model(build(), directory, device)
                opened: Backend = device.open(files[name])
                runs[name] = opened.bind(*device.inputs(vocabulary))
            times = reference.device.timed(runs)
            for name in group:
                if name != _REFERENCE:
                    found[name] = (times[name], times[_REFERENCE])
                    bar.update()
        bar.close()
    return found
