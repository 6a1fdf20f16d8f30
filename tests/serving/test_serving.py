"""Serving directories: configurations that the engines' own schemas read and that tell the truth about the models."""

import ast
import hashlib
import json
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import onnx
import paddle
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from helpers.handmade_bundle import LABELS, change_manifest, digests_of, expected, make_bundle, write_onnx
from helpers.models import VOCABULARY
from ofa_bert import __main__ as program
from ofa_bert.bundle.manifest import open_bundle
from ofa_bert.cli.parser import parse
from ofa_bert.errors import RunError, UserError
from ofa_bert.serving import config_text
from ofa_bert.serving import repository as serving_repository
from ofa_bert.serving.job import ServingJob


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """A full model and a smaller one, both with ONNX and static Paddle models."""
    if paddle.__version__ >= "3":
        pytest.skip("Paddle Serving and FastDeploy read what Paddle 2 writes")
    root = tmp_path_factory.mktemp("bundles")
    full = make_bundle(root / "full", paddle=True, parameters=3_000_000, score=0.9)
    small = make_bundle(
        root / "small", paddle=True, limit=12, sub_model={"layers": [0], "heads": [1], "ffn": [2]}, score=0.8
    )
    return str(full), str(small)


@pytest.fixture(scope="module")
def exported(bundles, tmp_path_factory):
    """The command as a user calls it; tests only read what it wrote."""
    output = tmp_path_factory.mktemp("serving") / "out"
    assert program.main(["export_serving", "--bundles", *bundles, "--output_dir", str(output), "--threads", "2"]) == 0
    return output


def export(bundles, output, *more):
    return serving_repository.export_serving(
        parse(ServingJob, ["--bundles", *map(str, bundles), "--output_dir", str(output), *more], "")
    )


def triton_config(path):
    schema = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    return text_format.Parse(path.read_text(), schema.ModelConfig())


def test_one_version_per_sub_model_and_triton_s_schema(exported, bundles):
    place = exported / "triton" / "t"
    assert {path.name for path in place.iterdir()} == {
        "1", "2", "config.pbtxt", "labels.txt", "tokenizer", "versions.json",
    }  # fmt: skip
    config = triton_config(place / "config.pbtxt")
    assert (config.name, config.backend, config.platform) == ("t", "onnxruntime", "")
    assert config.version_policy.WhichOneof("policy_choice") == "all"
    assert config.max_batch_size == 64
    assert config.dynamic_batching.max_queue_delay_microseconds == 1000
    (group,) = config.instance_group
    assert (group.count, group.KIND_CPU) == (1, group.kind)
    assert config.parameters["intra_op_thread_count"].string_value == "2"
    assert not config.HasField("optimization")
    for number, bundle in enumerate(bundles, 1):
        assert (place / str(number) / config.default_model_filename).read_bytes() == Path(
            bundle, "model.onnx"
        ).read_bytes()
    versions = json.loads((place / "versions.json").read_text())
    assert [(item["version"], item["bundle"], item["score"]) for item in versions] == [
        (1, "full", 0.9),
        (2, "small", 0.8),
    ]
    assert versions[1]["sub_model"] == {"layers": [0], "heads": [1], "ffn": [2]}
    assert (place / "labels.txt").read_text().splitlines() == LABELS


def test_tensors_are_those_of_the_onnx_file(exported):
    """Names, types and sizes after the batch, as Triton checks them when it loads the model."""
    config = triton_config(exported / "triton" / "t" / "config.pbtxt")
    for number in ("1", "2"):
        graph = onnx.load(exported / "triton" / "t" / number / "model.onnx").graph
        for described, values in ((config.input, graph.input), (config.output, graph.output)):
            assert [item.name for item in described] == [value.name for value in values]
            for item, value in zip(described, values):
                kind = value.type.tensor_type
                real = {onnx.TensorProto.INT64: "TYPE_INT64", onnx.TensorProto.FLOAT: "TYPE_FP32"}[kind.elem_type]
                assert (
                    type(config)
                    .DESCRIPTOR.file.pool.FindEnumTypeByName("inference.DataType")
                    .values_by_number[item.data_type]
                    .name
                    == real
                )
                assert list(item.dims) == [dim.dim_value or -1 for dim in kind.shape.dim[1:]]
    assert config.output[0].label_filename == "labels.txt"


def test_warm_up_stays_inside_the_vocabulary_and_the_positions(exported):
    config = triton_config(exported / "triton" / "t" / "config.pbtxt")
    (sample,) = config.model_warmup
    assert sample.batch_size == 1
    assert set(sample.inputs) == {"input_ids", "token_type_ids"}
    for given in sample.inputs.values():
        assert given.zero_data
        assert list(given.dims) == [12]


def test_tensorrt_and_openvino_are_configured_as_triton_documents(bundles, tmp_path):
    export(
        bundles[:1], tmp_path / "gpu", "--device", "gpu", "--accelerator", "tensorrt", "--engines", "triton",
        "--max_batch_size", "8", "--instances", "2",
    )  # fmt: skip
    config = triton_config(tmp_path / "gpu" / "triton" / "t" / "config.pbtxt")
    (engine,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert engine.name == "tensorrt"
    assert not [name for name in engine.parameters if "precision" in name or "fp" in name]  # the file has the types
    assert engine.parameters["trt_profile_max_shapes"] == "input_ids:8x16,token_type_ids:8x16"
    assert engine.parameters["trt_profile_opt_shapes"] == "input_ids:2x16,token_type_ids:2x16"
    assert (config.instance_group[0].kind, config.instance_group[0].count) == (config.instance_group[0].KIND_GPU, 2)
    assert [sample.batch_size for sample in config.model_warmup] == [1, 8]
    assert "--gpus all" in (tmp_path / "gpu" / "README.md").read_text()
    export(bundles[:1], tmp_path / "cpu", "--accelerator", "openvino", "--engines", "triton")
    config = triton_config(tmp_path / "cpu" / "triton" / "t" / "config.pbtxt")
    assert [a.name for a in config.optimization.execution_accelerators.cpu_execution_accelerator] == ["openvino"]
    assert not (tmp_path / "cpu" / "fastdeploy").exists()


def paddle_serving_schema():
    """GeneralModelConfig of Paddle Serving: feed and fetch variables with the same five fields."""
    file = descriptor_pb2.FileDescriptorProto(name="general_model_config.proto", package="p", syntax="proto2")
    kinds = descriptor_pb2.FieldDescriptorProto

    def message(name, fields):
        added = file.message_type.add(name=name)
        for number, (field, kind, repeated, *of) in fields.items():
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            added.field.add(name=field, number=number, type=kind, label=label, type_name=of[0] if of else None)

    for name, kind in (("FeedVar", "feed_type"), ("FetchVar", "fetch_type")):
        message(name, {
            1: ("name", kinds.TYPE_STRING, False), 2: ("alias_name", kinds.TYPE_STRING, False),
            3: ("is_lod_tensor", kinds.TYPE_BOOL, False), 4: (kind, kinds.TYPE_INT32, False),
            5: ("shape", kinds.TYPE_INT32, True),
        })  # fmt: skip
    message("GeneralModelConfig", {
        2: ("feed_var", kinds.TYPE_MESSAGE, True, ".p.FeedVar"),
        3: ("fetch_var", kinds.TYPE_MESSAGE, True, ".p.FetchVar"),
    })  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("p.GeneralModelConfig"))


def test_paddle_serving_s_description_names_the_model_s_own_variables(exported, bundles):
    schema = paddle_serving_schema()
    for number in ("1", "2"):
        place = exported / "paddle_serving" / "t" / number
        server = {path.name for path in (place / "serving_server").iterdir()}
        conf = {"serving_server_conf.prototxt", "serving_server_conf.stream.prototxt"}
        assert server == {"inference.pdmodel", "inference.pdiparams", *conf}
        text = (place / "serving_server" / "serving_server_conf.prototxt").read_text()
        stream = (place / "serving_server" / "serving_server_conf.stream.prototxt").read_bytes()
        read = text_format.Parse(text, schema())
        assert schema.FromString(stream) == read
        assert read.SerializeToString() == stream
        for side in ("prototxt", "stream.prototxt"):
            same = (place / "serving_client" / f"serving_client_conf.{side}").read_bytes()
            assert same == (place / "serving_server" / f"serving_server_conf.{side}").read_bytes()
        assert [(var.name, var.alias_name, var.feed_type) for var in read.feed_var] == [
            ("input_ids", "input_ids", 0), ("token_type_ids", "token_type_ids", 0),
        ]  # fmt: skip
        (fetched,) = read.fetch_var
        assert (fetched.alias_name, fetched.fetch_type, list(fetched.shape)) == ("logits", 1, [-1])
        assert fetched.name == paddle_output(place / "serving_server", "inference")


def paddle_output(directory, prefix):
    """The name that Paddle Inference itself gives the output."""
    from paddle import inference

    config = inference.Config(str(directory / f"{prefix}.pdmodel"), str(directory / f"{prefix}.pdiparams"))
    config.disable_glog_info()
    return inference.create_predictor(config).get_output_names()[0]


def test_fastdeploy_has_a_model_per_version_with_its_own_output(exported):
    for number in ("1", "2"):
        place = exported / "fastdeploy" / f"t_v{number}"
        config = triton_config(place / "config.pbtxt")
        assert config.backend == "fastdeploy"
        assert config.max_batch_size == 64
        assert [(item.name, list(item.dims)) for item in config.input] == [
            ("input_ids", [-1]),
            ("token_type_ids", [-1]),
        ]
        assert (config.output[0].name, list(config.output[0].dims)) == (paddle_output(place / "1", "model"), [3])
        (engine,) = config.optimization.execution_accelerators.cpu_execution_accelerator
        assert engine.name == "paddle"
        assert engine.parameters["cpu_threads"] == "2"


def test_tokenizer_files_travel_and_model_files_do_not(exported):
    for place in (exported / "triton" / "t", exported / "paddle_serving" / "t", exported / "fastdeploy" / "t_v1"):
        assert [path.name for path in (place / "tokenizer").iterdir()] == ["tokenizer.json"]


def test_the_readme_s_client_asks_rightly(exported, monkeypatch):
    """The program in the README, against a stand-in for Triton's client that runs the served file itself."""
    import onnxruntime

    pytest.importorskip("tokenizers")
    text = (exported / "README.md").read_text()
    assert "|       2 | small" in text
    assert "3.00 M" in text
    assert "0 bad, 1 fair, 2 good" in text
    source = text.split("```python\n")[1].split("```")[0]
    ast.parse(source)
    asked = []

    class Input:
        def __init__(self, name, shape, kind):
            self.name, self.shape, self.kind = name, shape, kind

        def set_data_from_numpy(self, array):
            assert self.kind == "INT64"
            assert array.dtype == np.int64
            assert array.shape == self.shape
            self.array = array

    class Client:
        def infer(self, model, inputs, model_version):
            session = onnxruntime.InferenceSession(exported / "triton" / model / model_version / "model.onnx")
            feeds = {item.name: item.array for item in inputs}
            asked.append(feeds)
            logits = session.run(["logits"], feeds)[0]
            return types.SimpleNamespace(as_numpy=lambda name: {"logits": logits}[name])

    stand_in = types.ModuleType("tritonclient.http")
    stand_in.InferInput, stand_in.InferenceServerClient = Input, Client
    package = types.ModuleType("tritonclient")
    package.http = stand_in
    monkeypatch.setitem(sys.modules, "tritonclient", package)
    monkeypatch.setitem(sys.modules, "tritonclient.http", stand_in)
    monkeypatch.chdir(exported)
    scope = {"__name__": "readme"}
    exec(compile(source, "README.md", "exec"), scope)
    logits = scope["ask"](Client(), ["a good film", "bad"])
    known = {word: index for index, word in enumerate(VOCABULARY)}
    rows = [["[CLS]", "a", "good", "film", "[SEP]"], ["[CLS]", "bad", "[SEP]"]]
    ids = np.zeros((2, 12), dtype=int)  # to the next multiple of 16, but no longer than the model
    for place, row in enumerate(rows):
        ids[place, : len(row)] = [known[word] for word in row]
    np.testing.assert_array_equal(asked[0]["input_ids"], ids)
    np.testing.assert_allclose(logits, expected(ids, np.zeros_like(ids)), rtol=1e-5)


def test_bundles_with_other_labels_become_models_of_their_own(bundles, tmp_path):
    other = make_bundle(tmp_path / "other", labels=["no", "yes"])
    number = make_bundle(tmp_path / "number", labels=[])
    text = export([bundles[0], other, bundles[1], number], tmp_path / "out", "--engines", "triton")
    repository = tmp_path / "out" / "triton"
    assert sorted(path.name for path in repository.iterdir()) == ["t", "t-2", "t-3"]
    assert "t: version 2 is " + bundles[1] in text
    assert f"t-2: version 1 is {other}" in text
    assert (repository / "t-2" / "labels.txt").read_text() == "no\nyes\n"
    config = triton_config(repository / "t-3" / "config.pbtxt")
    assert list(config.output[0].dims) == [1]
    assert not config.output[0].label_filename
    assert not (repository / "t-3" / "labels.txt").exists()
    described = json.loads((tmp_path / "out" / "serving.json").read_text())["models"]
    assert [(item["name"], len(item["versions"])) for item in described] == [("t", 2), ("t-2", 1), ("t-3", 1)]
    with pytest.raises(UserError, match="`name` x: .* differ in labels or tokenizer"):
        export([bundles[0], other], tmp_path / "named", "--name", "x", "--engines", "triton")


def test_another_precision_is_served_under_the_same_file_name(tmp_path):
    bundle = make_bundle(tmp_path / "a", models=[("onnx-int8", "onnx", "int8", "model.int8.onnx")])
    write_onnx(bundle / "model.int8.onnx", 3, seed=5)
    change_manifest(bundle, files=digests_of(bundle))
    export([bundle], tmp_path / "out", "--engines", "triton", "--precision", "int8", "--name", "mine")
    served = tmp_path / "out" / "triton" / "mine" / "1" / "model.onnx"
    assert served.read_bytes() == (bundle / "model.int8.onnx").read_bytes() != (bundle / "model.onnx").read_bytes()


def test_what_an_engine_cannot_read_is_refused_before_anything_is_written(bundles, tmp_path):
    bare = make_bundle(tmp_path / "bare")
    output = tmp_path / "out"
    with pytest.raises(UserError, match="holds no paddle model in fp32.*or `engines` triton"):
        export([bare], output)
    with pytest.raises(UserError, match="holds no onnx model in fp16"):
        export([bare], output, "--precision", "fp16", "--engines", "triton")
    with pytest.raises(UserError, match="given twice"):
        export([bare, f"{bare}/../bare"], output)
    paddle3 = make_bundle(tmp_path / "paddle3", models=[("paddle-fp32", "paddle", "fp32", "inference.json")])
    held = json.loads((paddle3 / "manifest.json").read_text())["models"]
    change_manifest(paddle3, models=[held[0], {**held[1], "files": ["inference.json", "model.onnx"]}])
    with pytest.raises(UserError, match="is Paddle 3's format"):
        export([paddle3], output, "--engines", "fastdeploy")
    assert not output.exists()
    assert not list(tmp_path.glob(".out*"))


def test_onnx_with_another_interface_or_foreign_operators_is_refused(tmp_path):
    bundle = make_bundle(tmp_path / "a")
    path = bundle / "model.onnx"
    model = onnx.load(path)

    def save(changed):
        onnx.save(changed, path)
        change_manifest(bundle, files=digests_of(bundle))
        return open_bundle(bundle)

    own = onnx.ModelProto.FromString(model.SerializeToString())
    own.graph.node[0].domain = "com.microsoft"
    foreign = save(own)
    assert serving_repository.onnx_problems(foreign, "fp32", "none") == []
    (problem,) = serving_repository.onnx_problems(foreign, "fp32", "openvino")
    assert "has operators of com.microsoft, which openvino does not know" in problem
    renamed = onnx.ModelProto.FromString(model.SerializeToString())
    renamed.graph.input[0].name = "ids"
    (problem,) = serving_repository.onnx_problems(save(renamed), "fp32", "none")
    assert "has inputs" in problem
    assert "'ids'" in problem


def test_every_file_that_is_written_has_its_digest(tmp_path):
    bundle = make_bundle(tmp_path / "a")
    export([bundle], tmp_path / "out", "--engines", "triton")
    told = json.loads((tmp_path / "out" / "serving.json").read_text())["files"]
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name != "serving.json"]
    assert {(tmp_path / "out" / name) for name in told} == set(written)
    for name, entry in told.items():
        content = (tmp_path / "out" / name).read_bytes()
        assert entry == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    held = open_bundle(bundle).manifest.files
    assert told["triton/t/1/model.onnx"] == held["model.onnx"].to_json()
    assert told["triton/t/tokenizer/tokenizer.json"] == held["tokenizer.json"].to_json()


def test_a_copy_that_went_wrong_is_refused(tmp_path, monkeypatch):
    bundle = make_bundle(tmp_path / "a")

    def copy(source, target):
        Path(target).write_bytes(bytes(Path(source).stat().st_size))

    monkeypatch.setattr(serving_repository.shutil, "copyfile", copy)
    with pytest.raises(UserError, match="model.onnx: is not the file that was exported"):
        export([bundle], tmp_path / "out", "--engines", "triton")
    assert not (tmp_path / "out").exists()


def test_graphs_of_exits_are_no_part_of_the_tokenizer(tmp_path):
    bundle = make_bundle(tmp_path / "a")
    (bundle / "exits").mkdir()
    (bundle / "exits" / "head0.onnx").write_bytes(b"head")
    change_manifest(bundle, files=digests_of(bundle))
    export([bundle], tmp_path / "out", "--engines", "triton")
    tokenizer = tmp_path / "out" / "triton" / "t" / "tokenizer"
    assert [path.name for path in tokenizer.iterdir()] == ["tokenizer.json"]


def test_paddle_s_engines_without_paddle_say_what_to_install(bundles, tmp_path, monkeypatch):
    """It alone can say what a static model calls its logits."""
    monkeypatch.setitem(sys.modules, "paddle", None)
    with pytest.raises(UserError, match=r'paddle is not installed: .*pip install "\.\[cpu\]"') as found:
        export(bundles, tmp_path / "out", "--engines", "paddle_serving")
    assert found.value.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_early_exits_are_not_dropped_in_silence(tmp_path):
    """No engine runs them: a bundle that has some is refused, with what works, or served whole when that is said."""
    plain, early = make_bundle(tmp_path / "plain"), with_exits(make_bundle(tmp_path / "early"))
    with pytest.raises(UserError) as found:
        export([plain, early], tmp_path / "out", "--engines", "triton")
    assert str(found.value).startswith(f"{early}: has early exits")
    assert "predict `exit_threshold`" in str(found.value)
    assert "`without_exits`" in str(found.value)
    assert "plain" not in str(found.value)
    assert "\n" not in str(found.value)
    assert not (tmp_path / "out").exists()
    export([plain, early], tmp_path / "out", "--engines", "triton", "--without_exits")
    model = tmp_path / "out" / "triton" / "t" / "2" / "model.onnx"
    assert model.read_bytes() == (early / "model.onnx").read_bytes()
    assert not list((tmp_path / "out").rglob("exits"))


def with_exits(bundle):
    """The bundle with the entry of a manifest that a model with one exit gets."""
    (bundle / "exits").mkdir()
    for name in ("segment0.onnx", "segment1.onnx", "head0.onnx", "head1.onnx"):
        (bundle / "exits" / name).write_bytes(name.encode())
    change_manifest(bundle, files=digests_of(bundle), exits=EXITS)
    return bundle


EXITS = {
    "head": "ramp",
    "layers": [1, 2],
    "criterion": "entropy",
    "chosen": None,
    "policy": None,
    "table": None,
    "models": [],
}


def test_written_at_once_and_only_over_its_own(bundles, tmp_path, monkeypatch):
    output = tmp_path / "out"
    export(bundles[:1], output, "--engines", "triton")
    export(bundles, output, "--engines", "triton")  # its own directory may be replaced
    before = (output / "serving.json").read_text()

    def fail(*_):
        raise RunError("stopped")

    monkeypatch.setattr(serving_repository, "_copy_tokenizer", fail)
    with pytest.raises(RunError, match="stopped"):
        export(bundles[:1], output, "--engines", "triton")
    assert (output / "serving.json").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    monkeypatch.undo()
    shutil.rmtree(output)
    (output / "mine").mkdir(parents=True)
    with pytest.raises(UserError, match="out"):
        export(bundles[:1], output, "--engines", "triton")
    assert [path.name for path in output.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--accelerator", "tensorrt"], "--accelerator tensorrt: needs --device gpu"),
        (["--accelerator", "tensorrt", "--device", "gpu", "--precision", "int8"], "take int8-static, whose scales"),
        (["--accelerator", "openvino", "--device", "gpu"], "--accelerator openvino: needs --device cpu"),
        (["--accelerator", "openvino", "--engines", "fastdeploy"], "add triton to --engines"),
        (["--instances", "0", "--threads", "-1"], "--instances 0: must be above 0; --threads -1: must be at least 0"),
        (["--name", "a/b"], "--name a/b: use letters"),
        (["--engines", "tfserving"], "must be one of triton, paddle_serving, fastdeploy"),
        (["--precision", "bf16"], "must be one of fp32, fp16, int8, int8-static"),
    ],
)
def test_wrong_flags(tmp_path, capsys, flags, words):
    assert program.main(["export_serving", "--bundles", "x", "--output_dir", str(tmp_path / "out"), *flags]) == 2
    assert words in capsys.readouterr().err


def test_text_format_escapes_what_would_end_a_string():
    schema = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    name = 'say "so" \\ and\nno more'
    how = config_text.Serving("cpu", "none", 1, 0, 4, 0)
    text = config_text.triton(name, {"input_ids": 1, "token_type_ids": 1}, (2,), True, 8, how)
    assert text_format.Parse(text, schema.ModelConfig()).name == name
