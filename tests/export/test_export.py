"""A bundle is what the model is: every back end, family and uneven layers; of a wrong one nothing is left."""

import hashlib
import json
import resource
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import paddle
import pytest
from onnx import numpy_helper

from helpers.models import build, randomise
from ofa_bert.bundle.manifest import program_path, read_manifest
from ofa_bert.errors import RunError, UserError
from ofa_bert.export import bundle as export_bundle
from ofa_bert.export.onnx import writer
from ofa_bert.models import encoder
from ofa_bert.models.families import registry
from ofa_bert.models.families.registry import MODEL_TYPES
from ofa_bert.models.record import ModelRecord
from ofa_bert.runtime.opening import open_model
from ofa_bert.submodels.counting import count_parameters
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.tasks.task import Task

HEADS, FFN = (1, 4, 3), (10, 64, 33)
TASK = Task("topic", ("a", "b", "c"), ("accuracy",), ("text",))
SUB_MODEL = SubModelConfig((0, 1, 2), HEADS, FFN)
RECORD = ModelRecord(task=TASK, sub_model=SUB_MODEL, score=0.5)
BACKENDS = ("paddle_inference", "onnx_runtime")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [f"w{i}" for i in range(195)]
    vocabulary = tmp_path_factory.mktemp("tokenizer") / "vocab.txt"
    vocabulary.write_text("\n".join(words) + "\n")
    return registry.tokenizer_class("bert")(str(vocabulary))


def tiny_model(model_type="bert", heads=HEADS, ffn=FFN, **config):
    """3 layers x 32 hidden x 4 heads, resized unless `heads` is None; every tensor random, eval mode."""
    model = build(model_type, layers=3, vocab_size=200, **config)
    if heads:
        encoder.resize(model, heads, ffn)
    model.eval()
    return randomise(model, seed=7)


def inputs(batch, length, seed=3):
    """Random tokens whose last third is padding in every second row."""
    ids = np.random.default_rng(seed).integers(5, 200, (batch, length))
    ids[1::2, length - length // 3 :] = 0
    return ids, (np.arange(length) >= length // 2).astype("int64") * (ids != 0)


def dynamic_logits(model, batch):
    with paddle.no_grad():
        return model(*map(paddle.to_tensor, batch)).numpy()


def assert_same_logits(model, bundle, backend, shapes=((3, 29), (7, 1), (1, 48))):
    run = open_model(bundle, backend).run
    for shape in shapes:
        batch = inputs(*shape)
        np.testing.assert_allclose(run(*batch), dynamic_logits(model, batch), atol=2e-5)


def contents(directory):
    return {path.name: path.read_bytes() for path in Path(directory).iterdir()}


@pytest.fixture(scope="module")
def exported(tokenizer, tmp_path_factory):
    """(model, bundle, manifest) of an uneven BERT with ONNX; tests only read it."""
    model = tiny_model()
    bundle = tmp_path_factory.mktemp("exported") / "bundle"
    return model, bundle, export_bundle.export_bundle(model, tokenizer, RECORD, bundle, 48, onnx=True)


def test_bundle_holds_what_deployment_needs_and_nothing_else(exported, tokenizer):
    _, bundle, _ = exported
    program = program_path(bundle).name
    assert program == ("inference.pdmodel" if paddle.__version__ < "3" else "inference.json")
    tokenizer_files = {"vocab.txt", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json"}
    models = {program, "inference.pdiparams", "model.onnx"}
    assert set(contents(bundle)) == models | tokenizer_files | {"manifest.json"}
    reloaded = type(tokenizer).from_pretrained(str(bundle))
    text = "w3 w190 unknown w17"
    assert reloaded(text)["input_ids"] == tokenizer(text)["input_ids"]


def test_manifest_is_truthful(exported):
    model, bundle, manifest = exported
    assert json.loads((bundle / "manifest.json").read_text()) == manifest.to_json()
    assert manifest == read_manifest(bundle)
    sizes = {name: len(content) for name, content in contents(bundle).items() if name != "manifest.json"}
    assert {name: entry.bytes for name, entry in manifest.files.items()} == sizes
    for name, entry in manifest.files.items():
        assert entry.sha256 == hashlib.sha256((bundle / name).read_bytes()).hexdigest()
    full = encoder.shape_of(tiny_model(heads=None))
    assert manifest.parameters == count_parameters(full, SUB_MODEL)
    weights = sum(parameter.size for parameter in model.parameters())
    assert 4 * weights < sizes["inference.pdiparams"] < 4 * weights + 10_000
    assert manifest.sub_model == SUB_MODEL
    assert manifest.score == 0.5
    assert manifest.task == TASK
    assert manifest.labels == ("a", "b", "c")
    assert (manifest.model_type, manifest.max_seq_length) == ("bert", 48)
    assert [model.name for model in manifest.models] == ["paddle-fp32", "onnx-fp32"]
    for model in manifest.models:
        assert model.bytes == sum(sizes[name] for name in model.files)
    assert manifest.versions["paddle"] == paddle.__version__
    assert manifest.versions["onnxruntime"] == onnxruntime.__version__
    assert manifest.compared_shapes == ((1, 1), (1, 3), (2, 17), (5, 48))


@pytest.mark.parametrize(("place", "backend"), enumerate(BACKENDS))
def test_reported_difference_is_the_measured_one(exported, place, backend):
    model, bundle, manifest = exported
    run = open_model(bundle, backend).run
    probes = export_bundle._probes(model, 48)
    worst = max(np.abs(run(*probe) - dynamic_logits(model, probe)).max() for probe in probes)
    report = manifest.models[place].check
    assert report.max_abs_difference == pytest.approx(worst, abs=1e-6)
    assert worst <= report.tolerance == 1e-4
    assert report.argmax_agreement == 1.0
    assert (report.device, report.checked_with) == ("cpu", backend)
    assert (report.output == "logits") == (backend == "onnx_runtime")
    assert report.score_before is None
    assert report.score_after is None


@pytest.mark.parametrize("backend", BACKENDS)
def test_batch_and_sequence_are_free(exported, backend):
    model, bundle, _ = exported
    assert_same_logits(model, bundle, backend)


def test_the_static_model_loads_in_paddle_itself(exported):
    model, bundle, _ = exported
    loaded = paddle.jit.load(str(bundle / "inference"))
    loaded.eval()
    batch = inputs(2, 9)
    np.testing.assert_allclose(dynamic_logits(loaded, batch), dynamic_logits(model, batch), atol=2e-5)


@pytest.mark.slow(but="uneven-roberta")
@pytest.mark.parametrize("model_type", [name for name in MODEL_TYPES if name != "bert"])
@pytest.mark.parametrize(("heads", "ffn"), [(HEADS, FFN), (None, None)], ids=["uneven", "full"])
def test_families(model_type, heads, ffn, tokenizer, tmp_path):
    model = tiny_model(model_type, heads, ffn)
    manifest = export_bundle.export_bundle(model, tokenizer, ModelRecord(), tmp_path / "bundle", 32, onnx=True)
    assert manifest.model_type == model_type
    assert manifest.sub_model is None
    assert manifest.labels == ()
    for backend in BACKENDS:
        assert_same_logits(model, tmp_path / "bundle", backend, [(3, 29), (1, 2)])


@pytest.mark.slow
def test_regression_and_another_padding_token(tokenizer, tmp_path):
    model = tiny_model(num_labels=1, pad_token_id=4)
    task = Task("similarity", (), ("pearson",), ("a", "b"))
    manifest = export_bundle.export_bundle(model, tokenizer, ModelRecord(task=task), tmp_path / "bundle", 16, onnx=True)
    assert (manifest.num_labels, manifest.pad_token_id) == (1, 4)
    assert onnx_outputs(tmp_path / "bundle") == {"logits": ["batch", 1]}


def onnx_dims(values):
    return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}


def onnx_outputs(bundle):
    return onnx_dims(onnx.load(str(bundle / "model.onnx")).graph.output)


def test_onnx_names_axes_and_operators(exported):
    _, bundle, _ = exported
    onnx.checker.check_model(str(bundle / "model.onnx"), full_check=True)
    graph = onnx.load(str(bundle / "model.onnx")).graph
    free = ["batch", "sequence"]
    assert onnx_dims(graph.input) == {"input_ids": free, "token_type_ids": free}
    assert onnx_outputs(bundle) == {"logits": ["batch", 3]}
    operators = [node.op_type for node in graph.node]
    assert operators.count("LayerNormalization") == 7  # embeddings, and two in each of three layers
    assert "Identity" not in operators


def test_onnx_weights_are_the_models_own_as_initializers(exported):
    model, bundle, _ = exported
    graph = onnx.load(str(bundle / "model.onnx")).graph
    stored = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    packed = {name for name in dict(model.named_parameters()) if any(f".{part}_proj." in name for part in "qkv")}
    for name, parameter in model.named_parameters():
        if name not in packed:
            np.testing.assert_array_equal(stored[name], parameter.numpy(), err_msg=name)
    assert len(packed) == 3 * 6
    assert not any(node.op_type == "Constant" for node in graph.node)


def damage_static(monkeypatch):
    """jit.save writes a model whose classifier bias is 0.01 off."""
    save = paddle.jit.save

    def wrong(model, *args, **kwargs):
        bias = model.classifier.bias
        right = bias.numpy()
        bias.set_value(paddle.to_tensor(right + 0.01))
        save(model, *args, **kwargs)
        bias.set_value(paddle.to_tensor(right))

    monkeypatch.setattr(paddle.jit, "save", wrong)


def damage_onnx(monkeypatch):
    write = writer.write

    def wrong(model, target, *args):
        write(model, target, *args)
        model = onnx.load(str(target))
        bias = next(item for item in model.graph.initializer if item.name == "classifier.bias")
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + 0.01, bias.name))
        onnx.save(model, str(target))

    monkeypatch.setattr(writer, "write", wrong)


@pytest.mark.slow(but="damage_onnx-onnx-fp32")
@pytest.mark.parametrize(("damage", "name"), [(damage_static, "paddle-fp32"), (damage_onnx, "onnx-fp32")])
def test_a_wrong_export_leaves_nothing(damage, name, tokenizer, tmp_path, monkeypatch):
    model, bundle = tiny_model(), tmp_path / "bundle"
    model.train()
    damage(monkeypatch)
    with pytest.raises(RunError, match=rf"{name}, batch 1, length 1: .* differ by 0\.01") as error:
        export_bundle.export_bundle(model, tokenizer, RECORD, bundle, 48, onnx=True)
    assert error.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []
    assert model.training
    monkeypatch.undo()
    export_bundle.export_bundle(model, tokenizer, RECORD, bundle, 48)
    before = contents(bundle)
    damage(monkeypatch)
    with pytest.raises(RunError):
        export_bundle.export_bundle(model, tokenizer, RECORD, bundle, 48, onnx=True)
    assert list(tmp_path.iterdir()) == [bundle]
    assert contents(bundle) == before


@pytest.mark.slow
def test_logits_that_are_not_numbers_are_refused(tokenizer, tmp_path):
    model = tiny_model()
    model.classifier.bias.set_value(paddle.full([3], float("nan")))
    with pytest.raises(RunError, match="differ by nan"):
        export_bundle.export_bundle(model, tokenizer, RECORD, tmp_path / "bundle", 8)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("largest_file", [20_000, 90_000, 110_000], ids=["program", "weights", "onnx"])
def test_a_full_disk_is_one_clear_error(largest_file, tokenizer, tmp_path):
    # A limit on the file size fails a write in the middle, as a full disk does.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, hard))
    try:
        with pytest.raises(RunError) as error:
            export_bundle.export_bundle(tiny_model(), tokenizer, RECORD, tmp_path / "bundle", 8, onnx=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_model_is_left_as_it_was(tokenizer, tmp_path):
    model = tiny_model()
    model.train()
    encoder.backbone(model).embeddings.eval()  # frozen on purpose: a plain train() afterwards would thaw it
    modes = [layer.training for layer in model.sublayers(include_self=True)]
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    export_bundle.export_bundle(model, tokenizer, RECORD, tmp_path / "bundle", 8)
    assert [layer.training for layer in model.sublayers(include_self=True)] == modes
    assert all(np.array_equal(weights[name], value.numpy()) for name, value in model.state_dict().items())
    assert "forward" not in vars(model)  # still dynamic
    model(paddle.to_tensor([[2, 9, 3]])).sum().backward()
    assert model.classifier.weight.grad is not None


@pytest.mark.parametrize(("model_type", "length", "limit"), [("bert", 0, 48), ("bert", 49, 48), ("roberta", 47, 46)])
def test_lengths_without_positions_are_refused(model_type, length, limit, tokenizer, tmp_path):
    model = tiny_model(model_type, pad_token_id=1)  # RoBERTa counts positions from the padding token's
    with pytest.raises(UserError, match=f"`max_seq_length` {length}: .* to the {limit} that"):
        export_bundle.export_bundle(model, tokenizer, RECORD, tmp_path / "bundle", length)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_roberta_exports_at_its_longest(tokenizer, tmp_path):
    model = tiny_model("roberta", pad_token_id=1)
    manifest = export_bundle.export_bundle(model, tokenizer, RECORD, tmp_path / "bundle", 46)
    assert manifest.compared_shapes[-1] == (5, 46)


def test_labels_must_fit_the_classifier(tokenizer, tmp_path):
    with pytest.raises(UserError, match="task topic needs 3 outputs, the classifier has 2"):
        export_bundle.export_bundle(tiny_model(num_labels=2), tokenizer, RECORD, tmp_path / "bundle", 8)


def test_probes_have_padding_inside_and_never_change():
    model = tiny_model()
    first, again = export_bundle._probes(model, 48), export_bundle._probes(model, 48)
    for (ids, types), (same_ids, same_types) in zip(first, again):
        assert np.array_equal(ids, same_ids)
        assert np.array_equal(types, same_types)
        assert ids.dtype == types.dtype == np.int64
        assert ids.max() < 200
        assert (ids[0] != 0).all()
        padding = ids == 0
        assert not types[padding].any()
        assert (np.diff(padding.astype(int)) >= 0).all()
    ids, types = first[-1]
    assert ids.shape == (5, 48)
    assert (ids == 0).any(axis=1).sum() >= 3
    assert types.any()
