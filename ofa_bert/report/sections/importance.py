"""Which heads and FFN neurons matter, and how many of them each width keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ofa_bert.numerics import Floats
from ofa_bert.report import charts
from ofa_bert.report.run_files import IMPORTANCE, RunFiles
from ofa_bert.report.values import Section
from ofa_bert.submodels.values import scaled

_NAMES = {"heads": "attention heads", "neurons": "FFN neurons"}


def section(run: RunFiles) -> Section | None:
    fields = run.file(IMPORTANCE)
    if fields is None:
        return None
    drawn = []
    for name, title in _NAMES.items():
        scores = fields.made(name, _scores)
        marks = _marks(run, name, scores.shape[1])
        said = "Each layer by itself, the most important first; red: what a width keeps." if marks else ""
        drawn.append(charts.heat(f"importance_{name}", f"Importance of {title}", scores, marks, said))
    return Section("Importance", drawn)


def _scores(value: Sequence[Sequence[float]]) -> Floats:
    """[layers, heads or neurons]; ValueError for what is no such table of numbers."""
    found = np.asarray(value, dtype=np.float64)
    if found.ndim != 2 or not found.size or not np.isfinite(found).all():
        raise ValueError("no table of numbers")
    return found


def _marks(run: RunFiles, name: str, count: int) -> Mapping[str, int]:
    """Width -> how many of a layer it keeps; of a pruned model or a student that was cut out, its own number."""
    space, sub_model = run.record.space, run.record.sub_model
    if space is not None:
        return {f"{width:.4g}": scaled(count, width) for width in space.width_mults}
    if sub_model is not None:
        kept = sub_model.heads if name == "heads" else sub_model.ffn
        return {"kept": min(max(kept), count)}
    return {}
