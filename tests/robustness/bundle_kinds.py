"""Files of bundles, and what says how sub-models are run: latency tables, fronts, exit policies."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import numpy as np

from helpers import mutations
from robustness.kind import LAYERS, SHAPE, SUB_MODEL, TASK, FileKind


def latency_table(directory: Path) -> Path:
    from ofa_bert.bundle.latency_table import ExitCost, LatencyTable
    from ofa_bert.submodels.values import ModelShape

    table = LatencyTable(
        ModelShape(**SHAPE), 0.5, 0.1, {1: 0.1, 2: 0.2, 3: 0.3}, {10: 0.1, 40: 0.4}, {"batch_size": 1, "threads": 1},
        {"median": 0.02}, ({"ms": 1.0},), ExitCost("ramp", 0.1, 0.2), {0.5: 1.0},
    )  # fmt: skip
    table.save(directory / "latency.json")
    return directory / "latency.json"


def read_latency_table(path: Path) -> None:
    from ofa_bert.bundle.latency_table import LatencyTable
    from ofa_bert.submodels.values import ModelShape, SubModelConfig

    table = LatencyTable.load(path)
    table.check_shape(ModelShape(**SHAPE), str(path))
    sub_model = SubModelConfig.from_json(SUB_MODEL)
    assert np.isfinite(table.predict(sub_model))
    if table.exits is not None:
        table.after_exits(sub_model, [1, 3], [0])
    json.dumps(table.to_json())


def bundle(directory: Path, damaged: str) -> Path:
    """A bundle with exits and with every field that an exporter writes; no graph in it can run."""
    from helpers.full_manifest import write_bundle

    return write_bundle(directory / "bundle") / damaged


def seal_manifest(path: Path) -> None:
    """Makes the manifest's own digest agree with what was damaged, so that its fields are read."""
    from helpers.handmade_bundle import write_manifest

    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return
    if isinstance(value, dict):
        write_manifest(path.parent, value)


def read_bundle(path: Path) -> None:
    from ofa_bert.bundle.exits import pick_parts, plan_of
    from ofa_bert.bundle.manifest import open_bundle

    found = open_bundle(path.parent)
    json.dumps(found.manifest.to_json())
    assert found.manifest.max_seq_length > 0
    if found.manifest.exits is not None and found.manifest.exits.chosen is not None:
        plan_of(found, "policy", "threshold")
        pick_parts(found, "onnx", ("fp32", *[model.precision for model in found.manifest.exits.models]), (False, True))


def front(directory: Path) -> Path:
    from helpers.small_front import FRONT

    FRONT.save(directory / "front.json")
    return directory / "front.json"


def read_front(path: Path) -> None:
    from ofa_bert.bundle.front import Front

    found = Front.load(path)
    found.within(3.0)
    json.dumps(found.to_json(), allow_nan=False)


def exit_policy(directory: Path) -> Path:
    from ofa_bert.exits.layout import ExitLayout
    from ofa_bert.exits.policy import Policy
    from ofa_bert.exits.policy_file import policy_json
    from ofa_bert.submodels.values import SubModelConfig
    from ofa_bert.tasks.task import Task

    sub_model, layout = SubModelConfig.from_json(SUB_MODEL), ExitLayout("ramp", LAYERS)
    about = policy_json(
        Policy("entropy", 0.3), "threshold", [0, 1], sub_model, layout, [1, 3, 4], Task.from_json(TASK), "somewhere"
    )
    path = directory / "exit_policy.json"
    path.write_text(json.dumps(about))
    return path


def read_exit_policy(path: Path) -> None:
    from ofa_bert.exits.layout import ExitLayout
    from ofa_bert.exits.policy import Policy, first_exits
    from ofa_bert.exits.policy_file import read_policy
    from ofa_bert.submodels.values import SubModelConfig
    from ofa_bert.tasks.task import Task

    sub_model, task = SubModelConfig.from_json(SUB_MODEL), Task.from_json(TASK)
    found = read_policy(str(path), sub_model, task, ExitLayout("ramp", LAYERS), [1, 3, 4], 27)
    first_exits(Policy.from_json(found.about["policy"]), np.ones([3, 2, 3]), np.ones([3, 2]))


def token_table(directory: Path) -> Path:
    from ofa_bert.exits.token_table import TABLE
    from ofa_bert.files.weights import write_weights

    arrays = {"counts": np.ones([27, 3], "i8"), "layers": np.array([1, 3, 4]), "cuts": np.array([1.5, 2.5])}
    write_weights(directory / TABLE, arrays)
    return directory / TABLE


def read_token_table(path: Path) -> None:
    from ofa_bert.exits.token_table import read_table

    read_table(path, [1, 3, 4], 27)


def old_bundle(directory: Path) -> Path:
    """As bundles were before they had digests."""
    from helpers.full_manifest import write_bundle

    return write_bundle(directory / "bundle", old=True) / "manifest.json"


def digest_cache(directory: Path) -> Path:
    from ofa_bert.bundle.digest_cache import DigestCache, stamp_of

    (directory / "file").write_bytes(b"x")
    os.utime(directory / "file", ns=(10**18, 10**18))
    cache = DigestCache(directory / "cache")
    cache._new[str(directory / "file")] = [*stamp_of((directory / "file").stat()), "ab" * 32]
    cache.save()
    return directory / "cache" / "digests.json"


def read_digest_cache(path: Path) -> None:
    """It saves time and nothing else: a digest that is known, or none, and room for the next."""
    from ofa_bert.bundle.digest_cache import DigestCache

    cache, file = DigestCache(path.parent), path.parent.parent / "file"
    assert isinstance(cache.known(str(file), file.stat()), str | None)
    cache._new["another"] = [1, 2, 3, 4, 5, "cd" * 32]
    cache.save()
    assert DigestCache(path.parent)._entries["another"][-1] == "cd" * 32


KINDS = (
    FileKind("latency table", latency_table, read_latency_table, mutations.of_json, cases=100),
    FileKind("manifest", partial(bundle, damaged="manifest.json"), read_bundle, mutations.of_json, cases=200,
             seal=seal_manifest),
    FileKind("manifest, not sealed", partial(bundle, damaged="manifest.json"), read_bundle, mutations.of_json),
    FileKind("manifest of before", old_bundle, read_bundle, mutations.of_json),
    FileKind("file of a bundle", partial(bundle, damaged="model.onnx"), read_bundle, mutations.of_bytes, cases=20),
    FileKind("digest cache", digest_cache, read_digest_cache, mutations.of_json, refuses=False),
    FileKind("front", front, read_front, mutations.of_json, cases=100),
    FileKind("exit policy", exit_policy, read_exit_policy, mutations.of_json, cases=80),
    FileKind("token table", token_table, read_token_table, mutations.of_safetensors),
)  # fmt: skip
