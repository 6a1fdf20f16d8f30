"""The latency table on devices whose costs are known, and on this one with tiny models."""

import json
import random

import numpy as np
import pytest

from helpers.models import build
from ofa_bert.bundle.latency_table import LatencyTable
from ofa_bert.errors import UserError
from ofa_bert.latency.fit import assess, calibrate, design, fit, held_out
from ofa_bert.submodels.values import ModelShape, SubModelConfig, uniform

SHAPE = ModelShape(12, 384, 12, 32, 1536, 30522, 512, 2, 2)


def device(noise=0.0, seed=0):
    """A device whose attention gets slower in steps of two heads and whose matrices are memory-bound when narrow."""
    rng = random.Random(seed)

    def ms(model):
        total = 0.4
        for heads, ffn in zip(model.heads, model.ffn):
            total += 0.15 + 0.09 * (heads + heads % 2 * 0.1) + max(0.5, 0.0011 * ffn)
        return total * rng.uniform(1, 1 + noise)

    return lambda models: [ms(model) for model in models]


def table(noise=0.0, **more):
    return calibrate(SHAPE, device(noise), 0.25, {"device": "made up"}, **more)


def test_an_additive_device_is_predicted_within_its_steps():
    found = table()
    assert found.error["models"] == 10
    assert found.error["rank_correlation"] > 0.99
    assert found.error["median_error"] < 0.01
    assert found.error["largest_error"] < 0.03
    for seed in range(3):
        others = held_out(SHAPE, 0.25, 12, 100 + seed, [])
        assert assess(found, others, device()(others))["median_error"] < 0.01


def test_weights_beyond_a_cache_cost_more_and_a_call_that_ends_early_does_not_pay_for_them():
    full = 12 * (12 + 1536 / 64)  # in heads: one has as many weights as 64 neurons

    def weights(model, layers):
        return sum(h + n / 64 for h, n in zip(model.heads[:layers], model.ffn[:layers]))

    def ms(model, layers=12):
        layers = min(layers, model.depth)
        return 0.1 + 0.01 * weights(model, layers) + 0.02 * max(0.0, weights(model, layers) - 0.5 * full)

    found = calibrate(SHAPE, lambda models: [ms(model) for model in models], 0.25, {})
    assert found.error["median_error"] < 0.02
    assert found.error["largest_error"] < 0.08
    assert sum(found.outgrown.values()) > 0
    whole = uniform(SHAPE, 1.0)
    early = found.after_layers(whole)
    assert early[2] == pytest.approx(ms(whole, 3), rel=0.05)
    assert early[-1] == pytest.approx(ms(whole), rel=0.05)
    assert LatencyTable.from_json(json.loads(json.dumps(found.to_json()))) == found
    plain = {name: value for name, value in found.to_json().items() if name != "outgrown_ms"}  # as older ones are
    assert LatencyTable.from_json(plain).predict(whole) < found.predict(whole)


def test_noise_is_averaged_and_shows_in_the_error_that_is_reported():
    found = table(noise=0.2)
    others = held_out(SHAPE, 0.25, 40, 77, [])
    quiet = np.asarray(device()(others)) * 1.1
    assert np.median(np.abs([found.predict(m) for m in others] / quiet - 1)) < 0.04
    assert found.error["median_error"] > table().error["median_error"]


def test_a_device_that_does_not_add_up_is_found_out():
    def strange(models):
        return [float(sum(m.heads) * sum(m.ffn) * (1 + m.depth % 2)) for m in models]

    assert calibrate(SHAPE, strange, 0.25, {}).error["median_error"] > 0.05


def test_costs_never_fall_and_one_layer_more_never_costs_less():
    found = table(noise=0.3)
    for costs in (found.heads, found.ffn):
        assert next(iter(costs)) == 0
        assert list(costs.values()) == sorted(costs.values())
    assert min(found.base, found.layer) >= 0
    wide, narrow = uniform(SHAPE, 1.0), uniform(SHAPE, 0.5)
    assert found.predict(wide) >= found.predict(narrow) >= found.predict(uniform(SHAPE, 0.5, range(6)))


def test_what_is_measured_covers_the_space_and_what_is_held_out_is_new():
    models = design(SHAPE, 0.25, 16)
    others = held_out(SHAPE, 0.25, 10, 16, models)
    assert len(models) == len(set(models)) == 22
    assert len(others) == len(set(others)) == 10
    assert not set(models) & set(others)
    assert {1, 12} <= {m.depth for m in models}
    assert {min(m.heads) for m in models} >= {3, 12}
    assert min(min(m.ffn) for m in models) == 384
    assert uniform(SHAPE, 2 / 3) in others
    assert design(SHAPE, 0.25, 16) == models


def test_a_shape_too_small_for_knots_still_gets_a_table():
    tiny = ModelShape(1, 8, 1, 8, 4, 40, 16, 2, 2)
    models = design(tiny, 1.0, 4)
    assert models == [SubModelConfig([0], [1], [4])]
    found = fit(tiny, models, [3.0], 1.0)
    assert found.predict(models[0]) == pytest.approx(3.0)


def test_table_on_disk_is_the_same_and_is_checked(tmp_path):
    found = table()
    found.save(tmp_path / "t.json")
    again = LatencyTable.load(tmp_path / "t.json")
    for model in held_out(SHAPE, 0.25, 5, 9, []):
        assert again.predict(model) == pytest.approx(found.predict(model))
    assert again.setting == {"device": "made up"}
    assert len(again.measured) == 32
    again.check_shape(SHAPE, "t.json")
    with pytest.raises(UserError, match="hidden_size 384, not 768"):
        again.check_shape(ModelShape(12, 768, 12, 64, 3072, 30522, 512, 2, 2), "t.json")
    with pytest.raises(UserError, match="does not fit"):
        again.predict(SubModelConfig([0], [13], [100]))
    for text in ("[]", "{}", '{"format": 9}', json.dumps({**found.to_json(), "heads_ms": {"a": 1}})):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(UserError, match="bad.json"):
            LatencyTable.load(tmp_path / "bad.json")


def test_groups_hold_every_model_once_beside_the_reference():
    from ofa_bert.latency.device import GROUP_BYTES, groups

    sizes = {"reference": 10, **{str(i): GROUP_BYTES // 3 for i in range(7)}}
    found = groups(sizes, "reference")
    assert all(group[0] == "reference" and len(group) <= 4 for group in found)
    assert sorted(name for group in found for name in group[1:]) == [str(i) for i in range(7)]
    assert groups({"reference": 10}, "reference") == [["reference"]]


def test_a_group_on_a_slower_machine_is_scaled_back(monkeypatch):
    from ofa_bert.latency import device as latency_device

    device = latency_device.Measurer("cpu", "onnx_runtime", "fp32", 1, 1, 8, 3)
    monkeypatch.setattr(latency_device, "write_model", lambda model, directory, kind: [model])
    speeds = iter([1.0, 2.0, 1.0])

    def group(files, vocabulary):
        slower = next(speeds)
        return {name: paths[0] * slower for name, paths in files.items()}

    monkeypatch.setattr(device, "_group", group)
    big = latency_device.GROUP_BYTES
    builds = {name: (lambda name=name: len(name)) for name in ("r", "aa", "bbb", "cccc")}
    found = device.measure(builds, {"r": 1, "aa": big, "bbb": big, "cccc": big}, "r")
    assert found == {"r": 1.0, "aa": 2.0, "bbb": 3.0, "cccc": 4.0}


def test_typical_leaves_out_the_slower_half():
    from ofa_bert.latency.device import typical

    assert typical(np.asarray([5.0, 1.0, 100.0, 2.0, 3.0])) == 2.0
    assert typical(np.asarray([7.0])) == 7.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "precision"),
    [("onnx_runtime", "fp32"), ("onnx_runtime", "int8"), ("openvino", "int8"), ("paddle_inference", "fp32")],
)
def test_exported_models_are_measured_on_this_machine(backend, precision, monkeypatch):
    from ofa_bert.latency import device as latency_device
    from ofa_bert.models.encoder import shape_of

    monkeypatch.setattr(latency_device, "VOCABULARY", 1200)
    model = build(hidden=64, heads=4, ffn=256)
    device = latency_device.Measurer("cpu", backend, precision, 1, 4, 40, 20)
    shape = shape_of(model)
    models = [uniform(shape, 1.0), uniform(shape, 0.25), SubModelConfig([0], [1], [64])]
    found = latency_device.measure_sub_models(device, "bert", model.config, shape, models)
    assert len(found) == 3
    assert found[0] > found[1] > found[2] > 0
    setting = device.setting()
    assert setting["threads"] == 1
    assert (setting["backend"], setting["precision"]) == (backend, precision)
    assert setting["processor"]
    assert setting["versions"]


def test_what_is_measured_is_what_an_export_writes(tmp_path):
    from ofa_bert.export.onnx import writer
    from ofa_bert.export.onnx.form import Form
    from ofa_bert.latency.device import Measurer, write_model

    model = build(hidden=64, heads=4, ffn=256)
    model.eval()
    (written,) = write_model(model, tmp_path, Measurer("cpu", "onnx_runtime", "int8", 1, 1, 8, 1))
    writer.write(model, tmp_path / "exported.onnx", Form(weights="dynamic"))
    assert written.read_bytes() == (tmp_path / "exported.onnx").read_bytes()
    model.config.hidden_act = "silu"  # which export refuses, too
    with pytest.raises(UserError, match="its activation is silu"):
        write_model(model, tmp_path, Measurer("cpu", "onnx_runtime", "int8", 1, 1, 8, 1))


def test_command_writes_a_table(tiny_bert_dir, tmp_path, capsys, monkeypatch):
    from ofa_bert.__main__ import main
    from ofa_bert.latency import measure

    # Real models are measured in the test above; here the device is made up.
    monkeypatch.setattr(measure, "measure_sub_models", lambda device, family, config, shape, models: made_up(models))
    made_up = device()
    arguments = ["latency", "--model", str(tiny_bert_dir), "--output", str(tmp_path / "t.json"), "--length", "16"]
    assert main([*arguments, "--models", "2", "--check", "3", "--repeats", "3", "--min_width", "0.5"]) == 0
    text = capsys.readouterr().out
    assert "rank correlation" in text
    assert "held-out sub-model" in text
    found = LatencyTable.load(tmp_path / "t.json")
    assert found.shape.num_layers == 4
    assert found.setting["length"] == 16
    assert len(found.measured) >= 8
    for more, cure in (
        (["--length", "65"], "64 tokens"),
        (["--check", "2"], "at least 3"),
        (["--min_width", "0"], "above"),
        (["--precision", "fp16"], "take bf16 or int8"),
        (["--precision", "int8", "--backend", "paddle_inference"], "onnx_runtime or openvino"),
    ):
        assert main([*arguments, *more]) == 2
        assert cure in capsys.readouterr().err
