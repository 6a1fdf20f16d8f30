"""A manifest is read only when the whole bundle is there; every damage is one line that names the file."""

import json

import pytest

from ofa_bert.bundle import manifest as bundle_manifest
from ofa_bert.errors import UserError


def write(directory, **changes):
    directory.mkdir()
    (directory / "model.onnx").write_bytes(b"graph")
    (directory / "model.fused.onnx").write_bytes(b"fused graph")
    entry = {"name": "onnx-fp32", "format": "onnx", "precision": "fp32", "fused": False, "files": ["model.onnx"]}
    fused = {**entry, "name": "onnx-fp32-fused", "fused": True, "files": ["model.fused.onnx"]}
    manifest = {
        "format": 2,
        "kind": "bundle",
        "labels": ["a", "b"],
        "num_labels": 2,
        "pad_token_id": 0,
        "max_seq_length": 8,
        "files": {"model.onnx": 5, "model.fused.onnx": 11},
        "models": [entry, fused],
        **changes,
    }
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory


def test_models_and_their_files(tmp_path):
    place = write(tmp_path / "b")
    assert [model["name"] for model in bundle_manifest.models(bundle_manifest.read_manifest(place))] == [
        "onnx-fp32",
        "onnx-fp32-fused",
    ]
    assert bundle_manifest.model_files(place, "onnx", "fp32") == [place / "model.onnx"]
    assert bundle_manifest.model_files(place, "onnx", "fp32", fused=True) == [place / "model.fused.onnx"]
    with pytest.raises(UserError, match="no onnx model in int8, only onnx-fp32, .* --precision int8 --onnx"):
        bundle_manifest.model_files(place, "onnx", "int8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 1}, "format 1, this version reads 2; export the bundle again"),
        ({"kind": "model"}, "does not describe a bundle"),
        ({"labels": None}, "labels is missing or no list"),
        ({"pad_token_id": "0"}, "pad_token_id is missing or no int"),
        ({"files": {"../model.onnx": 5}}, "'../model.onnx': 5 is not a path inside the bundle"),
        ({"files": {"/etc/passwd": 5}}, "is not a path inside the bundle"),
        ({"models": ["x"]}, "an entry of models is damaged"),
        (
            {"models": [{"name": "n", "format": "onnx", "precision": "fp32", "files": ["gone"]}]},
            "the entry 'n' is damaged",
        ),
        ({"files": {"model.onnx": 6, "model.fused.onnx": 11}}, "model.onnx: has 5 bytes, manifest.json says 6"),
        ({"files": {"model.onnx": 5, "model.fused.onnx": 11, "x": 1}}, "x: missing, though manifest.json lists it"),
    ],
)
def test_damage_is_named(changes, message, tmp_path):
    with pytest.raises(UserError, match=message) as error:
        bundle_manifest.read_manifest(write(tmp_path / "b", **changes))
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)


def test_no_manifest_and_no_json(tmp_path):
    with pytest.raises(UserError, match="no bundle, it has no manifest.json"):
        bundle_manifest.read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="not a JSON file"):
        bundle_manifest.read_manifest(tmp_path)
