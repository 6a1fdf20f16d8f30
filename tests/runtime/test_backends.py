"""Every back end opens what fits it and gives the model's logits; everything that cannot be is one clear line."""

import json
import os
import re
import shlex
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.handmade_bundle import change_manifest, digests_of, expected, make_bundle, write_onnx
from ofa_bert.errors import UserError
from ofa_bert.runtime import opening
from ofa_bert.runtime.backends import base as runtime_backends_base
from ofa_bert.runtime.backends import onnx_runtime, paddle_inference, registry, tensorrt
from ofa_bert.runtime.backends.registry import BACKENDS
from ofa_bert.runtime.backends.tensorrt import Profile
from ofa_bert.runtime.opening import open_files, open_model

IDS = np.array([[5, 9, 20, 7], [6, 8, 0, 0]])
TYPES = np.array([[0, 0, 1, 1], [0, 1, 0, 0]])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle") / "b", paddle=True, tokenizer=False)


def plain_bundle(path, **more):
    return make_bundle(path / "b", tokenizer=False, **more)


def require(backend):
    if not opening._installed(registry.REGISTRY[backend].package):
        pytest.skip(f"{backend} is not installed")


def has_bf16():
    words = Path("/proc/cpuinfo").read_text().split()
    return "avx512_bf16" in words or "amx_bf16" in words


@pytest.mark.parametrize("backend", BACKENDS)
def test_logits_device_and_free_shapes(bundle, backend):
    require(backend)
    model = open_model(bundle, backend, threads=1)
    assert (model.name, model.precision, model.device, model.provider) == (backend, "fp32", "cpu", "cpu")
    for ids, kinds in ((IDS, TYPES), (IDS[:1, :1], TYPES[:1, :1]), (np.tile(IDS, (3, 2)), np.tile(TYPES, (3, 2)))):
        logits = model.run(ids, kinds)
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, expected(ids, kinds), atol=1e-5)
    model.bind(IDS, TYPES)()


def test_logits_of_one_run_are_not_overwritten_by_the_next(bundle):
    for backend in BACKENDS:
        require(backend)
        model = open_model(bundle, backend, threads=1)
        first = model.run(IDS, TYPES)
        model.run(IDS + 1, TYPES)
        np.testing.assert_allclose(first, expected(IDS, TYPES), atol=1e-5)


@pytest.mark.parametrize("backend", ["openvino", "paddle_inference"])
@pytest.mark.skipif(not has_bf16(), reason="no bf16 here")
def test_bf16_computes_the_fp32_model(bundle, backend):
    require(backend)
    model = open_model(bundle, backend, "bf16", threads=1)
    assert model.precision == "bf16"
    np.testing.assert_allclose(model.run(IDS, TYPES), expected(IDS, TYPES), atol=0.1)


@pytest.mark.skipif(not has_bf16(), reason="no bf16 here")
def test_two_activations_in_a_row_survive_onednn(tmp_path):
    import paddle

    from helpers.models import build
    from ofa_bert.bundle.manifest import program_path

    model = build("tinybert", layers=1)
    spec = [paddle.static.InputSpec([None, None], "int64", name) for name in ("input_ids", "token_type_ids")]
    paddle.jit.save(model, str(tmp_path / "inference"), input_spec=spec)
    files = [program_path(tmp_path), tmp_path / "inference.pdiparams"]
    found = open_files(files, "paddle_inference", "bf16", threads=1).run(IDS, TYPES)
    np.testing.assert_allclose(found, model(paddle.to_tensor(IDS), paddle.to_tensor(TYPES)).numpy(), atol=0.05)


def test_bf16_needs_the_instructions(bundle, monkeypatch, tmp_path):
    (tmp_path / "cpuinfo").write_text("flags : avx2 avx512f\n")
    with pytest.raises(UserError, match="precision bf16: this processor has no bf16 instructions"):
        paddle_inference._require_bf16(str(tmp_path / "cpuinfo"))


def test_files_without_a_manifest(tmp_path):
    write_onnx(tmp_path / "m.onnx")
    model = open_files([str(tmp_path / "m.onnx")], "onnx_runtime", threads=1)
    np.testing.assert_allclose(model.run(IDS, TYPES), expected(IDS, TYPES), atol=1e-5)
    with pytest.raises(UserError, match="backend auto: name one"):
        open_files([tmp_path / "m.onnx"], "auto")


INT8 = [("onnx-int8", "onnx", "int8", "model.int8.onnx"), ("onnx-int8-static", "onnx", "int8-static", "s.onnx")]


@pytest.mark.parametrize(
    ("backend", "held", "precision", "computed"),
    [
        ("onnx_runtime", INT8, "int8", "int8"),
        ("openvino", INT8, "int8", "int8-static"),
        ("onnx_runtime", INT8[1:], "int8", "int8-static"),
        ("openvino", INT8[:1], "int8", "int8"),
        ("onnx_runtime", INT8, "int8-static", "int8-static"),
    ],
)
def test_int8_takes_the_form_that_the_back_end_runs_fast(backend, held, precision, computed, tmp_path, monkeypatch):
    opened = recorded_engine(monkeypatch, backend)
    model = open_model(plain_bundle(tmp_path, models=held), backend, precision)
    assert model.precision == computed
    (files, settings) = opened[0]
    assert [path.name for path in files] == ["model.int8.onnx" if computed == "int8" else "s.onnx"]
    assert settings.precision == computed


def recorded_engine(monkeypatch, *names):
    opened = []

    def load(files, settings):
        opened.append((files, settings))
        return runtime_backends_base.Engine(lambda ids, kinds: None, "logits")

    for name in names:
        monkeypatch.setitem(registry.REGISTRY, name, replace(registry.REGISTRY[name], load=load))
    monkeypatch.setattr(opening, "_installed", lambda package: True)
    return opened


def without(monkeypatch, *packages):
    monkeypatch.setattr(opening, "_installed", lambda name: name not in packages)


def test_auto_takes_the_first_that_can(bundle, tmp_path, monkeypatch):
    assert open_model(bundle).name == "onnx_runtime"
    without(monkeypatch, "onnxruntime", "openvino")
    assert open_model(bundle).name == "paddle_inference"
    with pytest.raises(UserError) as caught:
        open_model(plain_bundle(tmp_path))
    message = str(caught.value)
    assert "backend onnx_runtime: the package onnxruntime is not installed" in message
    assert "backend openvino: the package openvino is not installed" in message
    assert "holds no paddle model in fp32 for backend paddle_inference, only onnx-fp32" in message


def test_auto_goes_on_when_a_library_has_no_such_provider(bundle, monkeypatch):
    monkeypatch.setattr(onnx_runtime, "_require_ort_provider", refuse)
    with pytest.raises(UserError, match="no GPU; openvino.*; device gpu: Paddle") as caught:
        open_model(bundle, device="gpu")
    assert "computes on the CPU only" in str(caught.value)


def refuse(*_):
    raise UserError("no GPU; openvino could")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backend": "torch"}, "backend torch: must be one of auto, onnx_runtime, openvino, paddle_inference"),
        ({"precision": "int4"}, "precision int4: must be one of fp32, fp16, bf16, int8, int8-static"),
        ({"device": "tpu"}, "device tpu: must be one of cpu, gpu"),
        ({"provider": "metal"}, "provider metal: must be one of cpu, cuda, tensorrt, tensorrt_rtx"),
        ({"provider": "cpu", "device": "gpu"}, "contradicts"),
        ({"backend": "onnx_runtime", "precision": "bf16"}, "does not compute in bf16 .* or take openvino or paddle"),
        ({"backend": "paddle_inference", "precision": "fp16"}, "does not compute in fp16 on provider cpu"),
        ({"backend": "openvino", "device": "gpu"}, "openvino computes on the CPU only; for provider cuda take"),
        ({"backend": "onnx_runtime", "precision": "fp16"}, "export it with export_model.py `precision` fp16 `onnx`"),
        ({"backend": "paddle_inference", "precision": "int8"}, "no paddle model in int8-static .* `precision` int8"),
    ],
)
def test_what_cannot_be_is_said(bundle, arguments, message):
    with pytest.raises(UserError, match=message) as caught:
        open_model(bundle, **arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_missing_library_names_its_extra(bundle, backend, monkeypatch):
    package = registry.REGISTRY[backend].package
    without(monkeypatch, package)
    with pytest.raises(UserError, match=rf'{package} is not installed: .*pip install "\.\['):
        open_model(bundle, backend, provider=next(iter(registry.REGISTRY[backend].providers)))


def test_a_library_that_is_there_and_does_not_load(bundle, monkeypatch):
    def broken(*_):
        raise ImportError("libgomp.so.1: cannot open shared object file")

    monkeypatch.setitem(registry.REGISTRY, "onnx_runtime", replace(onnx_runtime.CAPABILITIES, load=broken))
    with pytest.raises(UserError, match=r"backend onnx_runtime: libgomp.so.1: .*pip install"):
        open_model(bundle, "onnx_runtime")


@pytest.mark.parametrize("backend", ["onnx_runtime", "openvino"])
def test_a_damaged_model_of_the_right_size(backend, tmp_path):
    require(backend)
    path = plain_bundle(tmp_path) / "model.onnx"
    path.write_bytes(b"\xff" * path.stat().st_size)
    change_manifest(path.parent, files=digests_of(path.parent))
    for name in (backend, "auto"):
        with pytest.raises(UserError, match=r"model.onnx: .* cannot load it: .*; copy the bundle again") as caught:
            open_model(path.parent, name)
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 2


def test_a_truncated_bundle(tmp_path):
    path = plain_bundle(tmp_path)
    (path / "model.onnx").write_bytes(b"short")
    with pytest.raises(UserError, match="model.onnx: has 5 bytes, manifest.json says"):
        open_model(path)
    (path / "model.onnx").unlink()
    with pytest.raises(UserError, match="model.onnx: missing"):
        open_model(path)
    with pytest.raises(UserError, match="no bundle"):
        open_model(tmp_path / "nowhere")


# CUDA and TensorRT: through stand-ins that write down what they are told.


class FakeOptions(types.SimpleNamespace):
    def add_provider_for_devices(self, devices, options):
        self.added = [(device.ep_name, options) for device in devices]


class FakeOrt(types.SimpleNamespace):
    """onnxruntime with a GPU, or with one that it says it has and then does not use."""

    def __init__(self, works=True):
        self.told = told = {"bound": []}

        class Session:
            def __init__(self, path, options, providers=(), disabled_optimizers=()):
                providers = providers or options.added
                told.update(path=path, providers=providers, threads=options.intra_op_num_threads)
                told.update(disabled=disabled_optimizers)

            def get_providers(self):
                return [told["providers"][0][0]] if works else ["CPUExecutionProvider"]

            def io_binding(self):
                def bind(*arguments):
                    told["bound"].append(arguments)

                return types.SimpleNamespace(bind_ortvalue_input=bind, bind_output=bind)

            def run_with_iobinding(self, binding):
                told["ran"] = True

        super().__init__(
            InferenceSession=Session,
            SessionOptions=FakeOptions,
            OrtValue=types.SimpleNamespace(ortvalue_from_numpy=lambda value, device, number: (device, value.shape)),
            get_available_providers=lambda: list(onnx_runtime._ORT_PROVIDERS.values()),
            preload_dlls=lambda: told.update(preloaded=True),
        )


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_cuda_binds_inputs_to_the_device(tmp_path, monkeypatch):
    fake = FakeOrt()
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    model = open_model(plain_bundle(tmp_path), "onnx_runtime", device="gpu")
    assert (model.device, model.provider) == ("gpu:0", "cuda")
    assert fake.told["preloaded"]
    assert fake.told["providers"] == [("CUDAExecutionProvider", {"device_id": "0", "use_tf32": "0"})]
    model.bind(IDS, TYPES)()
    assert fake.told["ran"]
    assert fake.told["bound"] == [
        ("input_ids", ("cuda", (2, 4))),
        ("token_type_ids", ("cuda", (2, 4))),
        ("logits", "cuda", 0),
    ]


FUSED = [("onnx-fp32-fused", "onnx", "fp32", "model.fused.onnx")]


@pytest.mark.parametrize(("provider", "file"), [("cpu", "model"), ("cuda", "model.fused"), ("tensorrt", "model")])
def test_fused_operators_are_for_cuda(provider, file, tmp_path, monkeypatch, cache):
    fake = FakeOrt()
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    path = plain_bundle(tmp_path, models=FUSED)
    held = json.loads((path / "manifest.json").read_text())["models"]
    change_manifest(path, models=[{**model, "fused": "fused" in model["name"]} for model in reversed(held)])
    open_model(path, "onnx_runtime", provider=provider)
    assert Path(fake.told["path"]).name == f"{file}.onnx"
    assert fake.told["disabled"] == (["SkipLayerNormFusion"] if provider == "cpu" else [])


@pytest.mark.parametrize(("provider", "cure"), [("cuda", "nvidia-smi"), ("tensorrt", "LD_LIBRARY_PATH")])
def test_a_provider_that_silently_falls_back_is_an_error(provider, cure, tmp_path, monkeypatch, cache):
    monkeypatch.setitem(sys.modules, "onnxruntime", FakeOrt(works=False))
    with pytest.raises(UserError, match=f"provider {provider}: .*{cure}"):
        open_model(plain_bundle(tmp_path), "onnx_runtime", provider=provider)


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_cpu_build_of_onnx_runtime(bundle, provider):
    import onnxruntime

    if onnx_runtime._ORT_PROVIDERS[provider] in onnxruntime.get_available_providers():
        pytest.skip("this one has it")
    with pytest.raises(UserError, match=f"provider {provider}: .* build without it; .*onnxruntime-gpu"):
        open_model(bundle, "onnx_runtime", provider=provider)


TYPED = [("onnx-fp16", "onnx", "fp16", "model.fp16.onnx"),
         ("onnx-int8-static", "onnx", "int8-static", "model.int8-static.onnx")]  # fmt: skip
# TensorRT 11 has none of them, and 10 makes a network whose types are not the file's when it is given one.
PRECISION_OPTIONS = re.compile("fp16|int8|bf16|fp8|precision|layer_norm")


def test_onnx_runtime_tensorrt_options(tmp_path, monkeypatch, cache):
    fake = FakeOrt()
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    profile = Profile((1, 8, 40), (4, 32, 128))
    bundle = plain_bundle(tmp_path, models=TYPED)
    model = open_model(bundle, "onnx_runtime", "fp16", provider="tensorrt", profile=profile)
    assert model.precision == "fp16"
    (name, options), (fallback, _) = fake.told["providers"]
    assert (name, fallback) == ("TensorrtExecutionProvider", "CUDAExecutionProvider")
    assert options["trt_profile_min_shapes"] == "input_ids:1x4,token_type_ids:1x4"
    assert options["trt_profile_opt_shapes"] == "input_ids:8x32,token_type_ids:8x32"
    assert options["trt_profile_max_shapes"] == "input_ids:40x128,token_type_ids:40x128"
    assert options["trt_engine_cache_enable"] == "True"
    engine_cache = Path(options["trt_engine_cache_path"])
    assert engine_cache.is_dir()
    assert cache in engine_cache.parents
    open_model(bundle, "onnx_runtime", "fp32", provider="tensorrt")
    assert fake.told["providers"][0][1]["trt_profile_max_shapes"] == "input_ids:64x16,token_type_ids:64x16"


@pytest.mark.parametrize("provider", ["tensorrt", "tensorrt_rtx"])
@pytest.mark.parametrize(
    ("precision", "file"),
    [
        ("fp32", "model.onnx"),
        ("fp16", "model.fp16.onnx"),
        ("int8", "model.int8-static.onnx"),
        ("int8-static", "model.int8-static.onnx"),
    ],
)
def test_tensorrt_is_given_the_typed_file_and_no_precision(precision, file, provider, tmp_path, monkeypatch, cache):
    fake = FakeOrt()
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    rtx_plugin(monkeypatch, fake)
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    models = [*TYPED, ("onnx-int8", "onnx", "int8", "model.int8.onnx")]
    open_model(plain_bundle(tmp_path, models=models), "onnx_runtime", precision, provider=provider)
    assert Path(fake.told["path"]).name == file
    options = fake.told["providers"][0][1]
    assert len(options) > 3
    assert not [name for name in options if PRECISION_OPTIONS.search(name)]
    assert os.environ.pop("NVIDIA_TF32_OVERRIDE", None) == ("0" if precision == "fp32" else None)


def test_dynamic_int8_is_not_for_tensorrt(tmp_path, monkeypatch, cache):
    monkeypatch.setitem(sys.modules, "onnxruntime", FakeOrt())
    bundle = plain_bundle(tmp_path, models=[("onnx-int8", "onnx", "int8", "model.int8.onnx")])
    with pytest.raises(UserError, match="holds no onnx model in int8-static .* only onnx-fp32, onnx-int8; export .*"):
        open_model(bundle, "onnx_runtime", "int8", provider="tensorrt")
    assert "take int8-static" in tensorrt.refusal("int8")
    assert "fp32, fp16, int8-static" in tensorrt.refusal("bf16")
    assert [tensorrt.refusal(name) for name in tensorrt.PRECISIONS] == [None] * 3


RTX = "NvTensorRTRTXExecutionProvider"


def rtx_plugin(monkeypatch, fake, capabilities=((8, 0),), serves=True, fails=None):
    """NVIDIA's plugin, beside a GPU of these capabilities; it registers as ONNX Runtime lets it, once."""
    known = []

    def register(name, path):
        if fails:
            raise RuntimeError(fails)
        assert not known
        known.append(types.SimpleNamespace(ep_name=name if serves else "CPUExecutionProvider"))

    plugin = types.SimpleNamespace(get_ep_name=lambda: RTX, get_library_path=lambda: "lib.so", __file__="x")
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", plugin)
    monkeypatch.setattr(tensorrt.accelerator, "capabilities", lambda: list(capabilities))
    fake.register_execution_provider_library = register
    fake.get_ep_devices = lambda: known


def test_tensorrt_rtx_in_onnx_runtime(tmp_path, monkeypatch, cache):
    fake = FakeOrt()
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    rtx_plugin(monkeypatch, fake)
    bundle = plain_bundle(tmp_path, models=TYPED)
    for _ in range(2):
        model = open_model(bundle, "onnx_runtime", "fp16", provider="tensorrt_rtx", profile=SHORT)
        assert (model.provider, model.device) == ("tensorrt_rtx", "gpu:0")
    ((name, options),) = fake.told["providers"]
    assert name == RTX
    assert options["nv_profile_max_shapes"] == "input_ids:4x16,token_type_ids:4x16"
    assert cache in Path(options["nv_runtime_cache_path"]).parents


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"capabilities": ()}, "finds no NVIDIA GPU"),
        (
            {"capabilities": ((9, 0),)},
            r"no code for a GPU of compute capability 9.0 \(Hopper\); take provider tensorrt or cuda",
        ),
        ({"capabilities": ((7, 0),), "serves": False}, "serves none of this machine's GPUs"),
        ({"fails": "no libcudart\nat all"}, "does not load: no libcudart$"),
    ],
)
def test_tensorrt_rtx_where_it_cannot_be(about, message, tmp_path, monkeypatch, cache):
    fake = FakeOrt()
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    rtx_plugin(monkeypatch, fake, **about)
    with pytest.raises(UserError, match=f"provider tensorrt_rtx: .*{message}"):
        open_model(plain_bundle(tmp_path, models=TYPED), "onnx_runtime", "fp16", provider="tensorrt_rtx")


def test_tensorrt_rtx_without_its_package(tmp_path, monkeypatch, cache):
    fake = FakeOrt()
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    rtx_plugin(monkeypatch, fake)
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", None)
    with pytest.raises(UserError, match=r'onnxruntime_ep_nv_tensorrt_rtx .*pip install "\.\[tensorrt-rtx\]"'):
        open_model(plain_bundle(tmp_path, models=TYPED), "onnx_runtime", "fp16", provider="tensorrt_rtx")


def test_options_are_what_onnx_runtime_knows(tmp_path):
    """Its own parsers of these options are not in a CPU build; the names are held against the documentation's."""
    known = """device_id trt_max_workspace_size trt_engine_cache_enable trt_engine_cache_path trt_timing_cache_enable
    trt_timing_cache_path trt_profile_min_shapes trt_profile_max_shapes trt_profile_opt_shapes""".split()
    assert set(tensorrt.provider_options(Profile(), tmp_path)) == set(known)
    known = """nv_max_workspace_size nv_runtime_cache_path nv_profile_min_shapes nv_profile_max_shapes
    nv_profile_opt_shapes""".split()
    assert set(tensorrt.rtx_options(Profile(), tmp_path)) == set(known)


def test_engines_are_cached_by_content_and_settings(tmp_path, cache):
    model = tmp_path / "model.onnx"
    model.write_bytes(b"one")
    first = tensorrt.cache_directory([model], "fp16", Profile())
    assert tensorrt.cache_directory([model], "fp16", Profile()) == first
    others = [tensorrt.cache_directory([model], "fp32", Profile()), tensorrt.cache_directory([model], "fp16", SHORT)]
    model.write_bytes(b"two")
    others.append(tensorrt.cache_directory([model], "fp16", Profile()))
    assert len({first, *others}) == 4


SHORT = Profile((1, 1, 4), (1, 8, 16))


class FakeInference(types.SimpleNamespace):
    """paddle.inference with a GPU and TensorRT."""

    def __init__(self, compiled=(8, 5, 1), loaded=(8, 5, 1)):
        self.calls = calls = []  # of one Config after the other
        self.ran = ran = []

        class Config:
            def __init__(self, *files):
                calls.append([("files", tuple(Path(file).name for file in files))])

            def __getattr__(self, name):
                def call(*arguments, **named):
                    calls[-1].append((name, named or arguments))
                    if name == "collect_shape_range_info":
                        Path(arguments[0]).write_text("shapes")

                return call

        def create_predictor(config):
            def handle(name):
                return types.SimpleNamespace(
                    copy_from_cpu=lambda value: ran.append((name, value.shape)), copy_to_cpu=lambda: None
                )

            return types.SimpleNamespace(
                get_output_names=lambda: ["out"],
                get_input_handle=handle,
                get_output_handle=handle,
                run=lambda: None,
            )

        super().__init__(
            Config=Config,
            create_predictor=create_predictor,
            get_trt_compile_version=lambda: compiled,
            get_trt_runtime_version=lambda: loaded,
            PrecisionType=types.SimpleNamespace(Float32="fp32", Half="half", Int8="int8"),
        )


@pytest.fixture
def fake_paddle(monkeypatch):
    def install(*versions, **more):
        inference = FakeInference(*versions)
        cuda = types.SimpleNamespace(device_count=lambda: 1)
        paddle = types.SimpleNamespace(
            inference=inference,
            is_compiled_with_cuda=lambda: True,
            device=types.SimpleNamespace(cuda=cuda),
            __version__="2.6.2",
            **more,
        )
        monkeypatch.setitem(sys.modules, "paddle", paddle)
        monkeypatch.setattr(paddle_inference.packages, "require", lambda name: paddle)
        return inference

    return install


def paddle_files(path, suffix=".pdmodel"):
    files = [path / f"inference{suffix}", path / "inference.pdiparams"]
    for file in files:
        file.write_bytes(b"model")
    return files


def test_paddle_tensorrt_is_tuned_and_cached(tmp_path, cache, fake_paddle):
    inference = fake_paddle()
    files = paddle_files(tmp_path)
    open_files(files, "paddle_inference", "fp16", provider="tensorrt", profile=SHORT)
    collecting, computing = map(dict, inference.calls)
    where = Path(collecting["collect_shape_range_info"][0])
    assert cache in where.parents
    assert "enable_tensorrt_engine" not in collecting
    assert inference.ran == [(n, s) for s in ((1, 1), (1, 8), (4, 16)) for n in ("input_ids", "token_type_ids")]
    names = list(computing)
    assert names.index("enable_use_gpu") < names.index("enable_tensorrt_engine")
    engine = computing["enable_tensorrt_engine"]
    assert engine["precision_mode"] == "half"
    assert engine["use_static"]
    assert not engine["use_calib_mode"]
    assert engine["max_batch_size"] == 4
    assert computing["enable_tuned_tensorrt_dynamic_shape"] == (str(where), True)
    assert computing["set_optim_cache_dir"] == (str(where.parent),)
    inference.ran.clear()
    open_files(files, "paddle_inference", "fp16", provider="tensorrt", profile=SHORT)
    assert len(inference.calls) == 3
    assert not inference.ran


def test_real_paddle_has_the_calls_that_the_stand_in_took():
    from paddle import inference

    for name in """collect_shape_range_info enable_tensorrt_engine set_optim_cache_dir enable_use_gpu
    enable_tuned_tensorrt_dynamic_shape enable_mkldnn enable_mkldnn_int8 enable_mkldnn_bfloat16""".split():
        assert hasattr(inference.Config, name)
    for word in "workspace_size max_batch_size min_subgraph_size precision_mode use_static use_calib_mode".split():
        assert f"{word}:" in inference.Config.enable_tensorrt_engine.__doc__
    assert {"Float32", "Half", "Int8"} <= set(dir(inference.PrecisionType))


@pytest.mark.parametrize(
    ("versions", "message"),
    [(((0, 0, 0), (0, 0, 0)), "this Paddle was built without TensorRT"), (((8, 5, 1), (0, 0, 0)), "LD_LIBRARY_PATH")],
)
def test_paddle_without_tensorrt(versions, message, tmp_path, fake_paddle):
    fake_paddle(*versions)
    with pytest.raises(UserError, match=f"provider tensorrt: .*{message}"):
        open_files(paddle_files(tmp_path), "paddle_inference", "fp16", provider="tensorrt")


def test_paddle_beside_tensorrt_11(tmp_path, cache, fake_paddle, monkeypatch):
    fake_paddle((10, 5, 0), (11, 4, 0))
    message = (
        "provider tensorrt: Paddle is built for TensorRT 8 to 10, and 11.4.* is installed, .* onnx_runtime, .*engine"
    )
    with pytest.raises(UserError, match=message):
        open_files(paddle_files(tmp_path), "paddle_inference", "fp16", provider="tensorrt")
    module = types.SimpleNamespace()
    fake_paddle(tensorrt=module)
    monkeypatch.setattr(tensorrt, "installed", lambda: "11.4.0.106")
    with pytest.raises(UserError, match=message):
        open_files(paddle_files(tmp_path, ".json"), "paddle_inference", "fp16", provider="tensorrt")


def test_paddle_3_converts_ahead_of_time(tmp_path, cache, fake_paddle, monkeypatch):
    converted = []

    def convert(prefix, config):
        converted.append((prefix, config))
        for suffix in (".json", ".pdiparams"):
            Path(config.save_model_dir + suffix).write_bytes(b"engine")

    module = types.SimpleNamespace(
        Input=lambda **given: given,
        TensorRTConfig=lambda inputs: types.SimpleNamespace(inputs=inputs),
        PrecisionMode=types.SimpleNamespace(FP32="fp32", FP16="fp16", INT8="int8"),
        convert=convert,
    )
    inference = fake_paddle(tensorrt=module)
    files = paddle_files(tmp_path, ".json")
    for _ in range(2):
        open_files(files, "paddle_inference", "fp16", provider="tensorrt", profile=SHORT)
    ((prefix, config),) = converted
    assert prefix == str(tmp_path / "inference")
    assert config.precision_mode == "fp16"
    assert [item["name"] for item in config.inputs] == ["input_ids", "token_type_ids"]
    assert config.inputs[0]["min_input_shape"] == (1, 1)
    assert config.inputs[0]["max_input_shape"] == (4, 16)
    assert config.inputs[0]["optim_input_shape"] == (1, 8)
    assert config.inputs[0]["input_data_type"] == "int64"
    assert dict(inference.calls[0])["files"] == ("engine.json", "engine.pdiparams")


def test_paddle_3_without_a_converter(tmp_path, cache, fake_paddle):
    fake_paddle()
    with pytest.raises(UserError, match="provider tensorrt: no converter in this Paddle"):
        open_files(paddle_files(tmp_path, ".json"), "paddle_inference", "fp16", provider="tensorrt")


@pytest.mark.parametrize(("precision", "call"), [("int8-static", "enable_mkldnn_int8"), ("fp32", "disable_mkldnn")])
def test_paddle_on_a_cpu_uses_onednn_for_int8_only(precision, call, tmp_path, fake_paddle):
    inference = fake_paddle()
    open_files(paddle_files(tmp_path), "paddle_inference", precision, threads=3)
    calls = dict(inference.calls[0])
    assert call in calls
    assert calls["set_cpu_math_library_num_threads"] == (3,)
    assert "disable_gpu" in calls
    assert ("enable_mkldnn" in calls) == (precision != "fp32")
    assert calls.get("enable_mkldnn_int8", ({"fc"},)) == ({"fc"},)


def test_a_cpu_build_of_paddle(bundle):
    with pytest.raises(UserError, match="device gpu: Paddle .* is a CPU build or finds no GPU"):
        open_model(bundle, "paddle_inference", device="gpu")


def test_trtexec_command(tmp_path):
    model = tmp_path / "with space" / "model.onnx"
    command = tensorrt.trtexec_command(model, "fp16", Profile((1, 16, 64), (8, 64, 128)), Path("m.plan"), "11")
    assert shlex.split(command) == [
        "trtexec",
        f"--onnx={model}",
        "--saveEngine=m.plan",
        "--minShapes=input_ids:1x8,token_type_ids:1x8",
        "--optShapes=input_ids:16x64,token_type_ids:16x64",
        "--maxShapes=input_ids:64x128,token_type_ids:64x128",
    ]
    for precision in tensorrt.PRECISIONS:
        for major in ("10", "11"):
            words = shlex.split(tensorrt.trtexec_command(model, precision, Profile(), Path("m.plan"), major))
            assert ("--stronglyTyped" in words) == (major == "10")
            assert ("--noTF32" in words) == (precision == "fp32")
            assert not {"--fp16", "--int8", "--bf16", "--fp8", "--int4", "--best", "--calib"} & set(words)


@pytest.mark.parametrize("values", [(1, 2), (0, 1, 2), (4, 2, 8), (1, 9, 8)])
def test_a_profile_is_least_best_most(values):
    with pytest.raises(UserError, match="`batch` .*: give least, best and most"):
        Profile(batch=values)


def test_manifest_that_lies_about_the_models(tmp_path):
    path = plain_bundle(tmp_path)
    held = json.loads((path / "manifest.json").read_text())["models"]
    change_manifest(path, models=[{**held[0], "files": ["gone.onnx"]}])
    with pytest.raises(UserError, match="manifest.json, models 0: files has 'gone.onnx', which is not among the files"):
        open_model(path)
