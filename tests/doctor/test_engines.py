"""Engines that answer, that answer something else, that fail and that are not there; without Paddle."""

import numpy as np
import pytest

from ofa_bert.doctor import small_graph
from ofa_bert.doctor.parts import engines, exported, gpu
from ofa_bert.runtime.backends import tensorrt

# Stands for ONNX Runtime: it answers the small model's logits, changed.
WRONG = """
__version__ = "9.9"
class SessionOptions:
    def add_session_config_entry(self, *entry): pass
class InferenceSession:
    def __init__(self, path, options, providers, **more): self.providers = [name for name, _ in providers]
    def get_providers(self): return self.providers
    def run(self, outputs, inputs):
        import numpy as np
        from ofa_bert.doctor import small_graph
        return [{change}]
"""
LOGITS = "small_graph.logits(inputs['input_ids'], inputs['token_type_ids']).astype('f4')"


def tried(visit, backend="onnx_runtime", provider="cpu"):
    return engines.answers(backend, provider, f"{backend}, {provider}", visit)


def test_the_small_graph_is_what_onnx_reads():
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(small_graph.onnx())
    onnx.checker.check_model(model, full_check=True)
    assert [item.name for item in model.graph.input] == ["input_ids", "token_type_ids"]
    assert small_graph.logits(*small_graph.batch(4, 16)).std() > 0.1


@pytest.mark.parametrize(("backend", "library"), [("onnx_runtime", "ONNX Runtime"), ("openvino", "OpenVINO")])
def test_installed_engines_answer_the_small_graph(visit, backend, library):
    pytest.importorskip({"onnx_runtime": "onnxruntime"}.get(backend, backend))
    found = tried(visit.say(library), backend)
    assert found.state == "works", found
    assert found.facts["fp32"]["largest"] < 1e-4
    assert "sentences/s" not in found.said  # of a graph of six operators that would say nothing


@pytest.mark.parametrize(
    ("change", "state", "said"),
    [
        (LOGITS, "works", "fp32 off by 0 %"),
        (f"{LOGITS} * 1.02", "broken", "fp32 off by"),
        (f"{LOGITS}[:, ::-1]", "broken", "fp32 off by"),
        (f"np.full_like({LOGITS}, np.nan)", "broken", "fp32: its logits hold NaN or infinity"),
        ("__import__('os').abort()", "broken", "fp32: its process was ended by SIGABRT"),
        ("1 / 0", "broken", "fp32: ZeroDivisionError: division by zero"),
    ],
)
def test_an_engine_is_held_to_the_logits(visit, stubs, change, state, said):
    stubs.package("onnxruntime", WRONG.format(change=change))
    found = tried(visit.say("ONNX Runtime"))
    assert found.state == state
    assert found.said.startswith(said)
    assert bool(found.cure) == (state == "broken")


def test_an_engine_whose_library_is_not_there(visit):
    assert tried(visit).said == "needs ONNX Runtime"
    assert tried(visit.say("OpenVINO", "broken"), "openvino").said == "not tried: OpenVINO is broken"


def test_paddle_inference_needs_an_export(visit):
    found = tried(visit.say("Paddle", gpu_build=False), "paddle_inference")
    assert found.state == "absent"
    assert "PaddleNLP" in found.said


def test_a_gpu_provider_needs_a_card_and_a_build(visit):
    visit.say("ONNX Runtime", devices=["CPU"])
    assert tried(visit, provider="cuda").said == "no NVIDIA card"
    visit.say(gpu.CARDS, cards=[{"name": "L4", "capability": [8, 9], "mebibytes": 1}])
    found = tried(visit, provider="cuda")
    assert found.state == "absent"
    assert "onnxruntime-gpu" in found.said


@pytest.mark.parametrize(("error", "state"), [(tensorrt.MISSING, "absent"), ("out of memory", "broken")])
def test_tensorrt_without_its_libraries_is_not_broken(visit, monkeypatch, error, state):
    visit.say(gpu.CARDS, cards=[{"name": "L4", "capability": [8, 9], "mebibytes": 1}])
    visit.say("ONNX Runtime", devices=["Tensorrt", "CUDA", "CPU"])
    monkeypatch.setattr(visit, "ask", lambda *request: {"error": f"provider tensorrt: {error}"})
    assert tried(visit, provider="tensorrt").state == state


@pytest.mark.parametrize(
    ("capability", "there", "said"),
    [
        (None, True, "no NVIDIA card"),
        ([9, 0], True, "TensorRT-RTX has no code for compute capability 9.0 (Hopper)"),
        ([8, 6], False, 'not installed: pip install ".[tensorrt-rtx]"'),
    ],
)
def test_tensorrt_rtx_needs_a_card_that_it_serves_and_its_plugin(visit, stubs, capability, there, said):
    if there:
        stubs.package("onnxruntime_ep_nv_tensorrt_rtx", "")
    if capability:
        visit.say(gpu.CARDS, cards=[{"name": "a card", "capability": capability, "mebibytes": 1}])
    found = tried(visit.say("ONNX Runtime", devices=["CPU"]), provider="tensorrt_rtx")
    assert found.state == "absent"
    assert found.said.startswith(said)


@pytest.mark.parametrize(("share", "state"), [(0.001, "works"), (1.0, "broken")])
def test_tensorrt_rtx_is_held_to_the_logits(visit, stubs, monkeypatch, share, state):
    stubs.package("onnxruntime_ep_nv_tensorrt_rtx", "")
    asked = exported_model(visit, monkeypatch, share)
    visit.say(gpu.CARDS, cards=[{"name": "a card", "capability": [8, 6], "mebibytes": 1}])
    found = tried(visit.say("ONNX Runtime", devices=["CPU"]), provider="tensorrt_rtx")
    assert found.state == state
    assert asked == (["fp32", "fp16"] if state == "works" else ["fp32"])


def test_tensorrt_rtx_that_fails_is_broken(visit, stubs, monkeypatch):
    stubs.package("onnxruntime_ep_nv_tensorrt_rtx", "")
    visit.say(gpu.CARDS, cards=[{"name": "a card", "capability": [8, 6], "mebibytes": 1}])
    monkeypatch.setattr(visit, "ask", lambda *request: {"error": "provider tensorrt_rtx: does not load"})
    found = tried(visit.say("ONNX Runtime", devices=["CPU"]), provider="tensorrt_rtx")
    assert (found.state, found.said) == ("broken", "fp32: provider tensorrt_rtx: does not load")
    assert found.cure


def exported_model(visit, monkeypatch, share=0.001):
    """Whatever is asked of an engine, it answers that it is off by so much; returns the precisions asked for."""
    asked = []

    def ask(probe, request, seconds):
        asked.append(request["precision"])
        return {"share": share, "largest": share, "sentences_per_second": 100.0, "rows": 16, "tokens": 64}

    monkeypatch.setattr(visit, "ask", ask)
    visit.exported = {
        "onnx": {"fp32": ["a.onnx"], "fp16": ["b.onnx"], "int8": ["c.onnx"]}, "paddle": {"fp32": ["a", "b"]}
    }  # fmt: skip
    visit.say(exported.EXPORT)
    return asked


def test_each_engine_is_tried_in_the_precisions_that_fit(visit, monkeypatch):
    asked = exported_model(visit, monkeypatch)
    visit.say("ONNX Runtime", devices=["CUDA", "CPU"]).say("OpenVINO").say("Paddle", gpu_build=False)
    assert "100 sentences/s" in tried(visit).said
    assert asked == ["fp32", "int8"]
    visit.say("instructions", bf16=True)
    asked.clear()
    tried(visit, "openvino")
    tried(visit, "paddle_inference")
    assert asked == ["fp32", "bf16"] * 2
    asked.clear()
    visit.say(gpu.CARDS, cards=[{"name": "L4", "capability": [8, 9], "mebibytes": 1}])
    tried(visit, provider="cuda")
    assert asked == ["fp32", "fp16"]


@pytest.mark.parametrize(("share", "state"), [(0.004, "works"), (0.006, "broken"), (1.0, "broken")])
def test_how_near_is_near_enough(visit, monkeypatch, share, state):
    exported_model(visit, monkeypatch, share)
    assert tried(visit.say("ONNX Runtime")).state == state


def test_reference_of_the_small_graph_has_all_shapes(visit):
    exported.small(visit)
    with np.load(exported.reference(visit)) as stored:
        assert stored["logits1"].shape == (4, 3)
        assert stored["ids1"].dtype == np.int64
