"""What one side of a comparison leaves for the other: files in one directory, NumPy alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ofa_bert.data.encoding.batches import Batch
from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.files.reading import read_object
from ofa_bert.submodels.values import SubModelConfig

# Of the product: its own output directory, its steps, its weights before the first one. Of the twin: the rest.
PRODUCT, STEPS, BATCHES, START = "product", "steps.json", "batches.npz", "start.safetensors"
TWIN, TWIN_START, TWIN_END = "twin.json", "twin_start.safetensors", "twin_end.safetensors"
REQUEST, ELASTIC = "request.json", "elastic"  # the latter is in a request whose proof is of `pretrain --elastic`
IMPORTANCE, RESULTS, WEIGHTS = "importance.json", "results.json", Path("last", "model.safetensors")


@dataclass(frozen=True)
class Step:
    """batch: as the product's step got it. losses: of each sub-model, by name."""

    batch: Batch
    sub_models: tuple[SubModelConfig, ...]
    losses: tuple[Mapping[str, float], ...]


def write_steps(folder: Path, steps: Sequence[Step]) -> None:
    about = [{"sub_models": [each.to_json() for each in step.sub_models], "losses": step.losses} for step in steps]
    write_json_atomic(folder / STEPS, {"steps": about})
    arrays: dict[str, Any] = {}
    for number, step in enumerate(steps):
        batch = step.batch
        own = {"ids": batch.input_ids, "types": batch.token_type_ids, "labels": batch.labels, "index": batch.index}
        arrays |= {f"{name}{number}": array for name, array in own.items()}
    np.savez(folder / BATCHES, **arrays)


def read_steps(folder: Path) -> list[Step]:
    found = []
    with np.load(folder / BATCHES) as arrays:
        for number, about in enumerate(json.loads((folder / STEPS).read_text())["steps"]):
            batch = Batch(*(arrays[f"{name}{number}"] for name in ("ids", "types", "labels", "index")))
            sub_models = tuple(map(SubModelConfig.from_json, about["sub_models"]))
            found.append(Step(batch, sub_models, tuple(about["losses"])))
    return found


def results_of(folder: Path) -> Mapping[str, Any]:
    """The product's own results.json."""
    return read_object(folder / PRODUCT / RESULTS)
