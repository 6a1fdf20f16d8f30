"""Bundles made without Paddle: a model whose logits NumPy can say, its ONNX graph, a tokenizer, a manifest.

logits[c] = sum of table[id, c] over the real tokens + sum of types[type, c] over them: every token counts, padding and
neighbours in a batch do not.
"""

from __future__ import annotations

import json

import numpy as np

from helpers.models import VOCABULARY

PAD = 0
LABELS = ["bad", "fair", "good"]


def tables(outputs, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(len(VOCABULARY), outputs)).astype("f4"), rng.normal(size=(2, outputs)).astype("f4")


def expected(input_ids, token_type_ids, outputs=3, seed=0):
    """Logits [B, C] of the hand-made model."""
    table, types = tables(outputs, seed)
    real = (np.asarray(input_ids) != PAD)[..., None]
    return ((table[input_ids] + types[token_type_ids]) * real).sum(1)


def write_onnx(path, outputs=3, seed=0, scale=1.0):
    from onnx import TensorProto, checker, helper, numpy_helper, save

    def constant(name, array):
        return numpy_helper.from_array(np.asarray(array), name)

    table, types = tables(outputs, seed)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("Gather", ["types", "token_type_ids"], ["segments"]),
        helper.make_node("Add", ["words", "segments"], ["both"]),
        helper.make_node("Equal", ["input_ids", "pad"], ["is_pad"]),
        helper.make_node("Not", ["is_pad"], ["is_real"]),
        helper.make_node("Cast", ["is_real"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["real", "last"], ["mask"]),
        helper.make_node("Mul", ["both", "mask"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "middle"], ["logits"], keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, ["B", "T"]) for n in ("input_ids", "token_type_ids")]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", outputs])
    weights = [
        constant("table", table * np.float32(scale)),
        constant("types", types * np.float32(scale)),
        constant("pad", np.int64(PAD)),
        constant("last", np.array([-1])),
        constant("middle", np.array([1])),
    ]
    graph = helper.make_graph(nodes, "handmade", inputs, [output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model, full_check=True)
    save(model, str(path))


def write_paddle(directory, outputs=3, seed=0):
    """The same model as a static Paddle model; returns its [program, parameters]."""
    import paddle

    from ofa_bert.bundle.manifest import program_path

    class Sum(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            rows = tables(outputs, seed)
            self.words, self.types = (paddle.nn.Embedding(*array.shape) for array in rows)
            for layer, array in zip((self.words, self.types), rows):
                layer.weight.set_value(array)

        def forward(self, input_ids, token_type_ids):
            real = (input_ids != PAD).astype("float32").unsqueeze(-1)
            return ((self.words(input_ids) + self.types(token_type_ids)) * real).sum(1)

    model = Sum()
    model.eval()
    spec = [paddle.static.InputSpec([None, None], "int64", name) for name in ("input_ids", "token_type_ids")]
    paddle.jit.save(model, str(directory / "inference"), input_spec=spec)
    (directory / "inference.pdiparams.info").unlink(missing_ok=True)
    return [program_path(directory), directory / "inference.pdiparams"]


def write_tokenizer(path):
    from tokenizers import BertWordPieceTokenizer

    words = {word: index for index, word in enumerate(VOCABULARY)}
    BertWordPieceTokenizer(words, lowercase=True).save(str(path))


def make_bundle(path, columns=("text",), labels=LABELS, limit=16, paddle=False, tokenizer=True, models=(), **manifest):
    """A bundle with model.onnx; `models` names more entries as (name, format, precision, file)."""
    path.mkdir(parents=True)
    outputs = len(labels) or 1
    write_onnx(path / "model.onnx", outputs, scale=manifest.pop("scale", 1.0))
    entries = [("onnx-fp32", "onnx", "fp32", ["model.onnx"])]
    if paddle:
        entries.append(("paddle-fp32", "paddle", "fp32", [file.name for file in write_paddle(path, outputs)]))
    for name, kind, precision, file in models:
        write_onnx(path / file, outputs)
        entries.append((name, kind, precision, [file]))
    if tokenizer:
        write_tokenizer(path / "tokenizer.json")
    metrics = ["accuracy"] if labels else ["pearson"]
    content = {
        "format": 3,
        "kind": "bundle",
        "model_type": "bert",
        "task": {"name": "t", "labels": list(labels), "metrics": metrics, "text_columns": list(columns)},
        "labels": list(labels),
        "num_labels": outputs,
        "pad_token_id": PAD,
        "max_seq_length": limit,
        "models": [dict(zip(("name", "format", "precision", "files"), entry)) for entry in entries],
        "files": digests_of(path),
        **manifest,
    }
    write_manifest(path, content)
    return path


def digests_of(path):
    """The field `files` of a bundle's manifest, from what lies in its directory."""
    from ofa_bert.bundle.digests import described

    return {name: entry.to_json() for name, entry in described(path).items() if name != "manifest.json"}


def write_manifest(path, content):
    """A manifest of that content, with the digest of its own that whoever writes one gives it."""
    from ofa_bert.bundle.manifest import sealed

    (path / "manifest.json").write_text(json.dumps(sealed(content)), encoding="utf-8")


def change_manifest(path, **changes):
    """Give some fields of a bundle's manifest other values, as its writer would have; returns them all."""
    content = {**json.loads((path / "manifest.json").read_text(encoding="utf-8")), **changes}
    write_manifest(path, content)
    return content
