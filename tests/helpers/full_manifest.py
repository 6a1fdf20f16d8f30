"""A manifest with every field that an exporter writes, and a bundle around it whose graphs are no graphs."""

from __future__ import annotations

import json

from helpers.handmade_bundle import digests_of, write_manifest

CHECK = {
    "max_abs_difference": 1e-6, "relative_difference": 1e-6, "argmax_agreement": 1.0, "tolerance": 1e-4,
    "relative_tolerance": None, "checked_with": "onnx_runtime", "device": "cpu", "output": "logits",
    "score_before": 0.9, "score_after": 0.9,
}  # fmt: skip
TASK = {"name": "t", "kind": "classification", "labels": ["a", "b"], "metrics": ["accuracy"], "text_columns": ["text"]}
SHAPE = {
    "num_layers": 4, "hidden_size": 24, "num_heads": 3, "head_dim": 8, "ffn_size": 40, "vocab_size": 27,
    "max_positions": 32, "type_vocab_size": 2, "num_labels": 2, "task_type_vocab_size": 0, "fit_size": 0,
    "embedding_size": 0,
}  # fmt: skip
SEGMENTS, HEADS = ([[f"exits/{part}{place}.onnx"] for place in range(3)] for part in ("segment", "head"))
MOVES = [["exits/select.onnx"], ["exits/join.onnx"]]
EXIT_MODEL = {
    "name": "onnx-fp32", "format": "onnx", "precision": "fp32", "fused": False, "segments": SEGMENTS, "heads": HEADS,
    "moves": MOVES, "bytes": 7, "max_abs_difference": [0.0, 0.1, 0.2], "relative_difference": [0.0, 0.1, 0.2],
    "argmax_agreement": [1.0, 1.0, 1.0], "tolerance": 1e-4, "relative_tolerance": None,
    "checked_with": "onnx_runtime", "device": "cpu",
}  # fmt: skip
CHOSEN = {
    "policy": {"criterion": "entropy", "threshold": 0.3, "tolerance": 0.1}, "mode": "threshold", "ask": [1],
    "layers": [1, 2, 3], "task": TASK,
}  # fmt: skip
EXITS = {
    "head": "ramp", "layers": [1, 2, 3], "criterion": "entropy", "chosen": CHOSEN, "policy": "exits/exit_policy.json",
    "table": None, "models": [EXIT_MODEL],
}  # fmt: skip
ENGINE = {
    "file": "engines/rtx.engine", "source": "model.onnx", "runtime": "rtx", "version": "1.7.1.116",
    "compute_capability": "8.6", "precision": "fp32", "batch": [1, 2, 4], "length": [1, 4, 8], "layers": 90,
    "seconds": 1.5, "state": "built, not run",
}  # fmt: skip


def content():
    """A manifest with every field that an exporter writes; its files are empty but for the graphs."""
    entry = {"name": "onnx-fp32", "format": "onnx", "precision": "fp32", "fused": False, "files": ["model.onnx"]}
    fused = {**entry, "name": "onnx-fp32-fused", "fused": True, "files": ["model.fused.onnx"], "bytes": 11, **CHECK}
    return {
        "format": 3,
        "kind": "bundle",
        "model_type": "bert",
        "shape": SHAPE,
        "sub_model": {"layers": [0, 1, 3], "heads": [3, 2, 1], "ffn": [40, 10, 20]},
        "task": TASK,
        "labels": ["a", "b"],
        "num_labels": 2,
        "parameters": 1000,
        "pad_token_id": 0,
        "score": 0.5,
        "scores": {"dev": 0.5},
        "max_seq_length": 8,
        "inputs": ["input_ids", "token_type_ids"],
        "compared_shapes": [[1, 1], [5, 8]],
        "max_drop": 1.0,
        "models": [{**entry, "bytes": 5, **CHECK, "seconds": 0.5}, {**fused, "seconds": 0.5}],
        "computed": [{**entry, "name": "onnx-bf16", "precision": "bf16", "bytes": 5, **CHECK, "seconds": 0.1}],
        "exits": EXITS,
        "engines": [ENGINE],
        "tokenizer": {"file": "tokenizer.json", "checked_texts": 3, "other_in_paddlenlp": 0},
        "versions": {"python": "3.11"},
    }


def write_bundle(directory, old=False, **changes):
    (directory / "exits").mkdir(parents=True)
    (directory / "model.onnx").write_bytes(b"graph")
    (directory / "model.fused.onnx").write_bytes(b"fused graph")
    (directory / "engines").mkdir()
    for name in (
        ENGINE["file"],
        "tokenizer.json",
        "exits/exit_policy.json",
        *(name for (name,) in (*SEGMENTS, *HEADS, *MOVES)),
    ):
        (directory / name).write_bytes(b"")
    made = {**content(), "files": digests_of(directory)}
    if old:
        made.update(format=2, files={name: entry["bytes"] for name, entry in made["files"].items()})
        (directory / "manifest.json").write_text(json.dumps({**made, **changes}))
    else:
        write_manifest(directory, {**made, **changes})
    return directory
