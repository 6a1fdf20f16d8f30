"""An engine is tried where the GPU that it is for is there: its logits beside those of the file it was made from."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ofa_bert.bundle.engine_entry import EngineCheck
from ofa_bert.bundle.manifest import Manifest
from ofa_bert.bundle.tolerances import ABSOLUTE, RELATIVE, counting, largest, relative
from ofa_bert.errors import RunError, UserError
from ofa_bert.reporting import shown
from ofa_bert.runtime.backends.base import Ids
from ofa_bert.runtime.backends.registry import first_for
from ofa_bert.runtime.backends.tensorrt import Profile
from ofa_bert.runtime.nvidia import cuda
from ofa_bert.runtime.nvidia.library import NAMES, Foreign, Library
from ofa_bert.runtime.nvidia.session import EngineSession
from ofa_bert.runtime.opening import open_files
from ofa_bert.system import accelerator

logger = logging.getLogger(__name__)

_ROWS = 8  # of the batches with long texts: the file is computed on the CPU
_SMALL = 20  # ids that are in every vocabulary
# What an engine in that precision has no business with: a coarser type than its file's.
_FOREIGN = {"fp32": ("fp16", "bf16", "int8"), "fp16": ("bf16", "int8"), "int8-static": ("bf16",)}
_WORDS = {"bf16": "bf16|bfloat16", "fp16": "fp16|half|float16", "int8": "int8", "fp32": "fp32|float"}


def tried(
    library: Library, engine: bytes, source: Path, precision: str, manifest: Manifest, profile: Profile,
    capability: str,
) -> EngineCheck | None:  # fmt: skip
    """What was found on this machine's first GPU; None where that is none of this capability, or cannot be used.

    RunError, naming the numbers, when the engine does not open or answers something else than the file.
    """
    here = accelerator.capabilities()
    if not here or accelerator.shown(here[0]) != capability:
        return None
    where = f"the engine for {capability}"
    backend = first_for("onnx", precision)
    try:
        memory = cuda.require()
        reference = open_files([source], backend, precision)
    except UserError as error:
        logger.warning("%s is not tried on this GPU: %s", where, error)
        return None
    batches = _batches(manifest, profile)
    session = EngineSession(library, memory, engine, where, manifest.pad_token_id)
    try:
        types = layer_types(library, session.engine)
        found = [session.run(*batch) for batch in batches]
    finally:
        session.close()
    wanted = [reference.run(*batch) for batch in batches]
    found, wanted = (
        [counting(each, ids, manifest.pad_token_id) for each, (ids, _) in zip(side, batches)]
        for side in (found, wanted)
    )
    made = EngineCheck(
        largest(found, wanted), relative(found, wanted), ABSOLUTE if precision == "fp32" else None,
        RELATIVE.get(precision), backend, types,
    )  # fmt: skip
    _judge(made, precision, where, library)
    return made


def _judge(made: EngineCheck, precision: str, where: str, library: Library) -> None:
    said = f"{where}: {NAMES[library.runtime]} answers otherwise than {made.checked_with} with the same file"
    # Written so that NaN fails too.
    if made.tolerance is not None and not made.max_abs_difference <= made.tolerance:
        raise RunError(
            f"{said}: logits differ by {made.max_abs_difference:.3g}, allowed are {made.tolerance:g}. It was not added"
        )
    if made.relative_tolerance is not None and not made.relative_difference <= made.relative_tolerance:
        raise RunError(
            f"{said}: logits differ by {made.relative_difference:.0%} of their spread, allowed are"
            f" {made.relative_tolerance:.0%}. It was not added"
        )
    wrong = [name for name in _FOREIGN[precision] if name in made.types]
    if wrong:
        raise RunError(
            f"{where}: {made.types[wrong[0]]} of its layers write {wrong[0]}, which its file in {precision} does not"
            " have. It was not added"
        )


def _batches(manifest: Manifest, profile: Profile) -> list[tuple[Ids, Ids]]:
    """input_ids and token_type_ids, int64 [B, T]: random tokens, two segments, padded rows; all within the profile."""
    rng, shape, pad = np.random.default_rng(0), manifest.shape, manifest.pad_token_id
    tokens = np.setdiff1d(np.arange(shape.vocab_size if shape else _SMALL), [pad])
    segments = min(2, shape.type_vocab_size or 2) if shape else 1  # without types the second must change nothing
    rows = min(profile.batch[2], max(profile.batch[0], _ROWS))
    shapes = {(profile.batch[0], profile.length[0]), (rows, profile.length[1]), (rows, profile.length[2])}
    shapes.add((profile.batch[2], profile.length[0]))
    made = []
    for count, length in sorted(shapes):
        lengths = np.append(length, rng.integers(1, length + 1, count - 1))
        inside = np.arange(length) < lengths[:, None]  # [B, T]
        second = inside & (np.arange(length) >= (lengths[:, None] + 1) // 2)  # [B, T]
        ids = np.where(inside, rng.choice(tokens, (count, length)), pad)  # [B, T]
        made.append((ids.astype(np.int64), second.astype(np.int64) * (segments - 1)))
    return made


def layer_types(library: Library, engine: Foreign) -> Mapping[str, int]:
    """How many layers write their results in each type; empty where the inspector gives no types."""
    told = engine.create_engine_inspector().get_engine_information(library.module.LayerInformationFormat.JSON)
    try:
        layers = json.loads(told).get("Layers", [])
    except (ValueError, AttributeError):
        logger.warning("%s's inspector says what is no report: %s", library.name, shown(told))
        return {}
    found: Counter[str] = Counter()
    for layer in layers if isinstance(layers, list) else ():
        outputs = layer.get("Outputs") if isinstance(layer, dict) else None
        kinds = [each.get("Format/Datatype") for each in outputs or () if isinstance(each, dict)]
        found.update({name for kind in kinds if (name := _type(str(kind))) is not None})
    return dict(found)


def _type(said: str) -> str | None:
    """One of engine_entry.TYPES, of the inspector's words such as "Half" or "Row major linear FP16 format"."""
    return next((name for name, words in _WORDS.items() if re.search(words, said, re.IGNORECASE)), None)
