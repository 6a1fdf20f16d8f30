"""A bundle with exits of a tiny random model, and everything that its exits say, for the tests of the runtime."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np

from helpers.foreign_files import tokenizer_for
from helpers.models import WORDS, build, randomise

LAYERS = (0, 2, 3)
ENDS = (1, 3, 4, 5)
HEADS, FFN = (1, 4, 3, 2, 4), (10, 64, 33, 20, 7)


class Case(NamedTuple):
    model: Any
    exits: Any
    bundle: Any
    manifest: Any  # Manifest
    data: Any  # Encoded
    texts: list
    outputs: Any  # of every exit of the dynamic model


def texts_of(count, seed=0, longest=20):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(1, longest))) for _ in range(count)]


def make_case(path, head="ramp", model_type="bert", count=45, num_labels=3, policy=None, onnx=True, **how):
    from ofa_bert.data.encoding.encoded import encode
    from ofa_bert.exits.layout import ExitLayout
    from ofa_bert.export.bundle import export_bundle
    from ofa_bert.models import encoder
    from ofa_bert.models.exits.heads import Exits
    from ofa_bert.models.record import ExitRecord, ModelRecord
    from ofa_bert.models.supernet import whole
    from ofa_bert.tasks.task import Example, Task
    from ofa_bert.training.exits.states import Frozen, collect

    path.mkdir(parents=True, exist_ok=True)
    model = build(model_type, layers=5, seed=1, num_labels=num_labels)
    encoder.resize(model, HEADS, FFN)
    randomise(model, 7)
    model.eval()
    exits = randomise(Exits(model, ExitLayout(head, LAYERS)), 9)
    exits.eval()
    tokenizer = tokenizer_for(path, model_type)
    texts = texts_of(count)
    data = encode([Example(text, None, 0) for text in texts], tokenizer, 24, progress=False)
    outputs = collect(Frozen(model, data, {}, tokenizer.pad_token_id), exits, whole(model))
    labels = tuple(map(str, range(num_labels))) if num_labels > 1 else ()
    task = Task("t", labels, ("accuracy",) if labels else ("pearson",), ("text",))
    about = ExitRecord(layout=exits.layout, training="deebert")
    record = ModelRecord(task=task, sub_model=whole(model), exits=about)
    if policy:
        write_policy(path / "policy", exits, record, data, outputs, **policy)
        how["exit_policy"] = str(path / "policy")
    bundle = path / "bundle"
    manifest = export_bundle(model, tokenizer, record, bundle, 24, onnx=onnx, exits=exits, **how)
    return Case(model, exits, bundle, manifest, data, texts, outputs)


def write_policy(path, exits, record, data, outputs, share, mode="threshold", ask=(0, 1, 2)):
    """What python -m ofa_bert exits writes, for a threshold of entropy at which that share of the samples leaves."""
    from ofa_bert.exits.policy import Policy
    from ofa_bert.exits.sweep import taken
    from ofa_bert.exits.token_table import TABLE, calibrate, learn
    from ofa_bert.files.weights import write_weights

    path.mkdir()
    policy = Policy("entropy", between(outputs, share))
    places = taken(policy, outputs, ask)
    table = calibrate(learn(data.input_ids, places, ENDS, 40), data.input_ids, places)
    about = {
        "policy": policy.to_json(),
        "mode": mode,
        "sub_model": record.sub_model.to_json(),
        "exits": exits.layout.to_json(),
        "layers": list(ENDS),
        "ask": list(ask),
        "task": record.task.to_json(),
        "model": "somewhere",
        "curve": curve_of(outputs).to_json(),
    }
    (path / "exit_policy.json").write_text(json.dumps(about))
    write_weights(path / TABLE, table.arrays())


def curve_of(outputs):
    """Made up but for its thresholds: at none, some and most of the samples leave; what each promises to lose."""
    from ofa_bert.exits.kept_curve import CurvePoint, KeptCurve

    promises = ((0.3, 0.01, 4.5), (0.6, 0.03, 3.5), (0.9, 0.2, 2.5))
    points = [CurvePoint(0.0, (), 0.9, 5.0, 0.0, 0.0)]
    points += [
        CurvePoint(between(outputs, share), (0, 1, 2), 0.9, layers, 0.0, bound) for share, bound, layers in promises
    ]
    return KeptCurve("accuracy", 45, 0.95, tuple(points))


def between(outputs, share, criterion="entropy"):
    """A threshold at which about that share of the samples leaves, far from every uncertainty that was seen."""
    from ofa_bert.exits.criteria.registry import criterion as named

    each = named(criterion).uncertainty(outputs.logits[:-1], outputs.certainty)  # [E, N]
    values = np.sort(each.ravel())
    place = int(np.searchsorted(values, np.quantile(each.min(axis=0), share)))
    widest = max(range(place, min(place + 9, len(values) - 1)), key=lambda i: values[i + 1] - values[i])
    return float(values[widest : widest + 2].mean())
