"""A bundle is opened only when it is whole; every damage of its manifest or its files is one line that names it."""

import json
import sys

import pytest

from helpers.full_manifest import (
    CHOSEN,
    ENGINE,
    EXIT_MODEL,
    EXITS,
    HEADS,
    MOVES,
    SEGMENTS,
    SHAPE,
    TASK,
    content,
    write_bundle,
)
from helpers.handmade_bundle import change_manifest, digests_of, make_bundle
from ofa_bert.bundle.manifest import Manifest, open_bundle, read_manifest
from ofa_bert.errors import UserError
from ofa_bert.runtime.predictor import Predictor


@pytest.mark.parametrize("old", [False, True])
def test_a_manifest_says_what_its_file_does(tmp_path, old):
    place = write_bundle(tmp_path / "b", old)
    manifest = read_manifest(place)
    assert manifest.to_json() == json.loads((place / "manifest.json").read_text())
    assert manifest.has_digests == (not old)
    assert manifest.exits.chosen.policy.threshold == 0.3
    assert manifest.models[1].check.score_after == 0.9
    assert manifest.sub_model.depth == 3
    assert manifest.engines[0].key == ("rtx", "1.7.1.116", "8.6", "fp32", (1, 2, 4), (1, 4, 8))


def test_a_chosen_policy_decides_as_its_kind_of_task_does(tmp_path):
    policy = {**CHOSEN["policy"], "kind": "multilabel"}
    exits = {**EXITS, "chosen": {**CHOSEN, "policy": policy}}
    place = write_bundle(tmp_path / "b", exits=exits, task={**TASK, "kind": "multilabel", "metrics": ["micro_f1"]})
    assert read_manifest(place).exits.chosen.policy.kind == "multilabel"


def test_models_and_their_files(tmp_path):
    place = write_bundle(tmp_path / "b")
    bundle = open_bundle(place)
    assert [model.name for model in bundle.manifest.models] == ["onnx-fp32", "onnx-fp32-fused"]
    assert bundle.model_files("onnx", "fp32") == [place / "model.onnx"]
    assert bundle.model_files("onnx", "fp32", fused=True) == [place / "model.fused.onnx"]
    with pytest.raises(UserError, match="no onnx model in int8, only onnx-fp32, .* `precision` int8 `onnx`"):
        bundle.model_files("onnx", "int8")
    assert open_bundle(bundle) is bundle


def without(value, *names):
    return {name: item for name, item in value.items() if name not in names}


MODEL = content()["models"][0]
DIGEST = {"bytes": 5, "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 1}, "format 1, this version reads 2 and 3; export the bundle again"),
        ({"format": 4}, "format 4, this version reads"),
        ({"format": "3"}, "format is '3', must be a whole number"),
        ({"kind": "model"}, "does not describe a bundle"),
        ({"kind": []}, "does not describe a bundle"),
        ({"labels": None}, "labels is missing"),
        ({"labels": ["a"]}, "labels is .*, must be a name for each of 2 outputs"),
        ({"labels": ["a", "c"]}, "task is .*, must be a task with these labels"),
        ({"task": without(TASK, "metrics")}, "manifest.json, task: not a task"),
        ({"num_labels": 0}, "num_labels is 0, must be a whole number from 1"),
        ({"pad_token_id": "0"}, "pad_token_id is '0', must be a whole number"),
        ({"max_seq_length": 1.5}, "max_seq_length is 1.5, must be a whole number"),
        ({"score": "high"}, "score is 'high', must be a finite number"),
        ({"inputs": ["ids"]}, "inputs is .*, must be input_ids, token_type_ids"),
        ({"compared_shapes": [[1]]}, "compared_shapes: is .*, which does not fit"),
        ({"versions": {"a": 1}}, "versions: is .*, which does not fit"),
        ({"shape": {**SHAPE, "num_layers": 0}}, "shape: num_layers is 0, must be a whole number from 1"),
        ({"shape": without(SHAPE, "vocab_size")}, "shape: vocab_size is missing"),
        ({"shape": {**SHAPE, "colour": 1}}, "shape: has 'colour', a shape has num_layers"),
        ({"shape": {**SHAPE, "num_heads": 2}}, "the sub-model does not fit the model: 3 heads"),
        ({"sub_model": {"layers": [0]}}, "manifest.json, sub_model: a sub-model is"),
        ({"files": {"../model.onnx": DIGEST}}, "'../model.onnx': must be the path of a file inside the bundle"),
        ({"files": {"/etc/passwd": DIGEST}}, "must be the path of a file inside the bundle"),
        ({"files": {"a//b": DIGEST}}, "must be the path of a file inside the bundle"),
        ({"files": {"a\nb": DIGEST}}, r"'a\\nb': must be the path of a file inside the bundle"),
        ({"files": {"model.onnx": 5}}, "'model.onnx': is 5, must be an object"),
        ({"files": {"model.onnx": {"bytes": 5}}}, "'model.onnx': sha256 is missing"),
        ({"files": {"model.onnx": {"bytes": 5, "sha256": "ABC"}}}, "sha256 is 'ABC', must be 64 hexadecimal digits"),
        ({"models": ["x"]}, "models 0: is 'x', must be an object"),
        ({"models": []}, "models is .*, must be a list of one model or more"),
        ({"models": [without(MODEL, "precision")]}, "models 0: precision is missing"),
        ({"models": [{**MODEL, "precision": "fp8"}]}, "precision is 'fp8', must be one of fp32"),
        ({"models": [{**MODEL, "name": "a\nb"}]}, "name is .*printable"),
        ({"models": [{**MODEL, "files": ["gone"]}]}, "files has 'gone', which is not among the files"),
        ({"models": [{**MODEL, "files": []}]}, "files is .*, must be a graph"),
        ({"models": [{**MODEL, "format": "paddle"}]}, "must be a program and its parameters"),
        ({"models": [{**MODEL, "bytes": 6}]}, "onnx-fp32 has 6 bytes, its files have 5"),
        ({"models": [{**MODEL, "argmax_agreement": 2}]}, "argmax_agreement is 2, must be a finite number from 0 to 1"),
        ({"tokenizer": {"file": "x.json", "checked_texts": 1, "other_in_paddlenlp": 0}}, "tokenizer is"),
        ({"tokenizer": {"file": None}}, "tokenizer: reason is missing"),
        ({"engines": [5]}, "engines 0: is 5, must be an object"),
        ({"engines": [{**ENGINE, "file": "gone"}]}, "engines 0: file is 'gone', must be one of the files"),
        ({"engines": [{**ENGINE, "source": "gone"}]}, "source is 'gone', must be one of the files"),
        ({"engines": [{**ENGINE, "runtime": "metal"}]}, "runtime is 'metal', must be one of rtx, tensorrt"),
        ({"engines": [{**ENGINE, "precision": "int8"}]}, "precision is 'int8', must be one of fp32, fp16, int8-static"),
        ({"engines": [{**ENGINE, "compute_capability": "8"}]}, "is '8', must be two numbers with a dot"),
        ({"engines": [{**ENGINE, "length": [1, 8, 4]}]}, "length is .*, must be least, best and most"),
        ({"engines": [{**ENGINE, "batch": [0, 1, 2]}]}, "batch is .*whole numbers of at least 1"),
        ({"engines": [{**ENGINE, "state": "fast"}]}, "state is 'fast', must be one of built, not run"),
        ({"exits": []}, "exits is .*, must be an object"),
        ({"exits": {**EXITS, "layers": [2, 1, 3]}}, "exits: layers is .*ascending"),
        ({"exits": {**EXITS, "layers": [1]}}, "two or more numbers of layers"),
        ({"exits": {**EXITS, "layers": [1, 2, 4], "chosen": None}}, "exits is .*, must be exits of a model with 3"),
        ({"exits": {**EXITS, "criterion": "luck"}}, "criterion is 'luck', must be one of entropy"),
        ({"exits": {**EXITS, "head": "tail"}}, "head is 'tail', must be one of ramp"),
        ({"exits": {**EXITS, "table": "elsewhere"}}, "table 'elsewhere' is not among the files"),
        ({"exits": {**EXITS, "models": None}}, "exits: models is missing"),
        ({"exits": {**EXITS, "models": [{"name": "x"}]}}, "exits, models 0: format is missing"),
        ({"exits": {**EXITS, "models": [{**EXIT_MODEL, "heads": HEADS[:2]}]}}, "heads is .*lists of files, 3"),
        ({"exits": {**EXITS, "models": [{**EXIT_MODEL, "moves": []}]}}, "moves is .*, must be lists of files, 2"),
        ({"exits": {**EXITS, "models": [{**EXIT_MODEL, "heads": [["x"]] * 3}]}}, "heads has 'x', which is not among"),
        ({"exits": {**EXITS, "models": [{**EXIT_MODEL, "argmax_agreement": [1]}]}}, "a number for each of 3 exits"),
        ({"exits": {**EXITS, "chosen": {**CHOSEN, "ask": [1, 0]}}}, "ask is .*, must be places, ascending"),
        ({"exits": {**EXITS, "chosen": {**CHOSEN, "ask": [2]}}}, "among the 2 exits before the last"),
        ({"exits": {**EXITS, "chosen": {**CHOSEN, "layers": [1, 2]}}}, "layers is .*, must be those of the exits"),
        ({"exits": {**EXITS, "chosen": {**CHOSEN, "mode": "maybe"}}}, "mode is 'maybe', must be one of threshold"),
        ({"exits": {**EXITS, "chosen": {**CHOSEN, "policy": {}}}}, "policy: criterion is missing"),
    ],
)  # fmt: skip
def test_damage_of_the_manifest_is_named(changes, message, tmp_path):
    with pytest.raises(UserError, match=message) as error:
        read_manifest(write_bundle(tmp_path / "b", **changes))
    assert error.value.exit_code == 2
    assert str(error.value).startswith(str(tmp_path / "b" / "manifest.json"))
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a JSON file"),
        ("[]", "must be an object"),
        ('{"kind": "bundle", "format": NaN}', "not a JSON file"),
        ('{"a":' * 200 + "1" + "}" * 200, "nested more than 100 deep"),
        ('{"kind": "bundle", "format": 3, "score": 1e999}', "not a JSON file"),
    ],
)
def test_what_is_no_manifest(text, message, tmp_path):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=message) as error:
        read_manifest(tmp_path)
    assert str(error.value).isprintable()


def test_no_bundle(tmp_path):
    with pytest.raises(UserError, match="no bundle, it has no manifest.json"):
        read_manifest(tmp_path)


def test_a_file_that_is_gone_or_of_another_size(tmp_path):
    place = write_bundle(tmp_path / "b")
    (place / "model.onnx").write_bytes(b"graphs")
    with pytest.raises(UserError, match="model.onnx: has 6 bytes, manifest.json says 5; copy the whole bundle again"):
        open_bundle(place)
    (place / "model.onnx").unlink()
    with pytest.raises(UserError, match="model.onnx: missing, though manifest.json lists it"):
        open_bundle(place)
    (place / "model.onnx").mkdir()
    with pytest.raises(UserError, match="model.onnx: is no file"):
        open_bundle(place)
    (place / "model.onnx").rmdir()
    (place / "model.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    with pytest.raises(UserError, match="model.onnx: is a Git LFS pointer"):
        open_bundle(place)


@pytest.mark.parametrize("old", [False, True])
def test_what_the_manifest_does_not_list_does_not_matter(tmp_path, old):
    place = write_bundle(tmp_path / "b", old)
    (place / "model.int8.onnx").write_bytes(b"of somebody else")
    files = open_bundle(place).manifest.files
    assert "model.fused.onnx" in files
    assert "model.int8.onnx" not in files


def test_a_manifest_that_was_changed_after_it_was_written(tmp_path):
    place = write_bundle(tmp_path / "b")
    path = place / "manifest.json"
    whole = path.read_text()
    assert '"labels": ["a", "b"]' in whole
    for before, after in (('"labels": ["a", "b"]', '"labels": ["b", "a"]'), ('"pad_token_id": 0', '"pad_token_id": 1')):
        path.write_text(whole.replace(before, after))
        with pytest.raises(UserError, match="manifest.json: was changed after it was written; copy the whole bundle"):
            open_bundle(place)
    path.write_text(json.dumps(json.loads(whole), indent=3))  # laid out anew it says the same
    open_bundle(place)
    path.write_text(json.dumps(without(json.loads(whole), "sha256")))
    with pytest.raises(UserError, match="sha256 is missing"):
        open_bundle(place)


def test_a_bundle_of_before_is_opened_with_a_warning(tmp_path, caplog):
    place = write_bundle(tmp_path / "b", old=True)
    assert open_bundle(place).manifest.models[0].name == "onnx-fp32"
    (warning,) = caplog.messages
    assert f"python -m ofa_bert add_digests `bundle` {place}" in warning
    stripped = without(content(), "sha256")
    (place / "manifest.json").write_text(json.dumps({**stripped, "format": 2, "files": digests_of(place)}))
    with pytest.raises(UserError, match="must be its size in bytes"):
        open_bundle(place)


class Opened:
    """Which files Python opens inside a directory, once `start` was called. A hook cannot be taken off again."""

    def __init__(self):
        self.directory, self.names = None, []
        sys.addaudithook(self._hook)

    def _hook(self, event, arguments):
        if event == "open" and self.directory and str(arguments[0]).startswith(self.directory):
            self.names.append(str(arguments[0])[len(self.directory) + 1 :])

    def start(self, directory):
        self.directory, self.names = str(directory), []


@pytest.fixture(scope="module")
def opened():
    yield (hook := Opened())
    hook.directory = None


@pytest.fixture
def no_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_predictor_reads_its_manifest_and_its_files_once(tmp_path, opened, no_cache, workers, monkeypatch):
    from ofa_bert.bundle import digests

    monkeypatch.setattr(digests.environment, "cores", lambda: 1)
    place = make_bundle(tmp_path / "b")
    computed, real = [], digests.file_sha256
    monkeypatch.setattr(digests, "file_sha256", lambda path: computed.append(path.name) or real(path))
    opened.start(place)
    with Predictor(place, threads=1, workers=workers) as predictor:
        assert opened.names.count("manifest.json") == 1
        assert sorted(computed) == ["model.onnx", "tokenizer.json"]
        opened.start(place)
        (place / "manifest.json").unlink()  # the workers have it from their parent
        predictor.predict(["a good film"])
    assert opened.names == []


def test_a_predictor_with_exits_reads_its_manifest_once(tmp_path, opened, no_cache, monkeypatch):
    from dataclasses import replace

    from ofa_bert.runtime.backends.registry import REGISTRY

    loaded = []
    for name, capabilities in REGISTRY.items():
        own = replace(capabilities, load_part=lambda files, settings: loaded.append(files[0].name))
        monkeypatch.setitem(REGISTRY, name, own)
    place = make_bundle(tmp_path / "b", labels=["a", "b"])
    (place / "exits").mkdir()
    for (name,) in (*SEGMENTS, *HEADS, *MOVES):
        (place / name).write_bytes(b"part")
    change_manifest(place, exits={**EXITS, "policy": None}, files=digests_of(place))
    opened.start(place)
    with Predictor(place, threads=1, exit_threshold="policy") as predictor:
        assert predictor.manifest.exits.layers == (1, 2, 3)
    assert opened.names.count("manifest.json") == 1
    assert loaded == ["segment0.onnx", "segment1.onnx", "segment2.onnx", "head1.onnx", "head2.onnx"]  # and no head0


def test_from_json_takes_anything():
    for value in (None, 3, "x", [], {}, {"kind": "bundle"}, {"kind": "bundle", "format": 10**30}):
        with pytest.raises(UserError, match="^here"):
            Manifest.from_json(value, "here")
