"""The files that the engines are tried with: of a real encoder where Paddle is, of a small graph elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ofa_bert.doctor import small_graph
from ofa_bert.doctor.finding import Finding
from ofa_bert.doctor.part import REPORT, Visit
from ofa_bert.files.fields import Fields
from ofa_bert.numerics import Array

EXPORT = "export"
_SECONDS = 120.0
_SHAPES = ((1, 5), (4, 16))


def export(name: str, visit: Visit) -> Finding:
    lacking = visit.lacks(name, "PaddleNLP")
    if lacking:
        return lacking
    answer = visit.ask("export", {"directory": str(visit.workspace)}, _SECONDS)
    if "error" in answer:
        return Finding(name, "broken", str(answer["error"]), f"pip install onnx; else {REPORT}")
    megabytes = [Path(path).stat().st_size / 1e6 for path in files_of(answer, "onnx")["fp32"]]
    made = f"a static Paddle model, ONNX in fp32 ({sum(megabytes):.0f} MB), fp16 and int8"
    said = f"{made}: 6 layers of 384, timed at 16 x 64 tokens"
    visit.exported = answer
    return Finding(name, "works", said)


def files_of(answer: Mapping[str, object], format: str) -> dict[str, tuple[str, ...]]:
    """Precision -> files, of one format."""
    fields = Fields(answer, EXPORT).inner(format)
    return {precision: fields.texts(precision) for precision in fields.value}


def reference(visit: Visit) -> Path:
    return visit.workspace / "reference.npz"


def small(visit: Visit) -> dict[str, tuple[str, ...]]:
    """Precision -> file of a graph that needs no Paddle to be made; its reference is beside it."""
    path = visit.workspace / "small.onnx"
    path.write_bytes(small_graph.onnx())
    arrays: dict[str, Array] = {}
    for number, (rows, tokens) in enumerate(_SHAPES):
        ids, types = small_graph.batch(rows, tokens)
        arrays |= {f"ids{number}": ids, f"types{number}": types, f"logits{number}": small_graph.logits(ids, types)}
    np.savez(reference(visit), **arrays)
    return {"fp32": (str(path),)}
