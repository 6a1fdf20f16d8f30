"""What OpenVINO's NNCF quantizes: a missing package, its scales' sentences, and a bundle that OpenVINO opens."""

import sys

import numpy as np
import pytest

from helpers.models import build, randomise
from ofa_bert.bundle.manifest import open_bundle
from ofa_bert.cli.parser import parse
from ofa_bert.data.encoding.batches import Batch
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.errors import RunError, UserError
from ofa_bert.export import nncf_int8, variants
from ofa_bert.export.bundle import export_bundle
from ofa_bert.export.checks import Data
from ofa_bert.export.job import ExportJob
from ofa_bert.models.record import ModelRecord
from ofa_bert.runtime.opening import open_model
from ofa_bert.tasks.task import Task


class Words:
    """Stands in for a tokenizer."""

    def save_pretrained(self, directory):
        pass


def tiny():
    model = build("bert", layers=2, hidden=32)
    model.eval()
    return randomise(model, seed=7)


def export(directory, **more):
    rng = np.random.default_rng(0)
    ids = [rng.integers(5, 40, rng.integers(4, 20)) for _ in range(40)]
    sentences = Encoded(ids, [np.zeros_like(row) for row in ids], np.zeros(40, "int64"))
    data = Data(Task("topic", ("a", "b", "c"), ("accuracy",), ("text",)), sentences, {"dev": sentences})
    return export_bundle(
        tiny(), Words(), ModelRecord(), directory, 24, precisions=["int8-nncf"], data=data, max_drop=100.0, **more
    )


def test_a_missing_nncf_is_one_line_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(UserError, match=r'^NNCF is not installed; pip install "\.\[nncf\]"'):
        export(tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_it_is_planned_and_calibrated_on_training_sentences():
    assert variants.plan(["int8-nncf"], onnx=False, fused=False) == ["paddle-fp32", "ir-int8-nncf"]
    argv = ["--model_name_or_path", "m", "--sub_model_output_dir", "d", "--static_sub_model", "s"]
    with pytest.raises(UserError, match="--precision int8-nncf is calibrated on training sentences: say where"):
        parse(ExportJob, [*argv, "--precision", "int8-nncf"], "export")


def test_sentences_go_in_without_their_padding():
    ids = np.array([[5, 6, 7], [8, 0, 0], [0, 0, 0]])
    found = list(nncf_int8._sentences([Batch(ids, ids * 0 + 1, np.zeros(3, "int64"), np.arange(3))], 0))
    assert [item["input_ids"].tolist() for item in found] == [[[5, 6, 7]], [[8]]]
    assert [item["token_type_ids"].tolist() for item in found] == [[[1, 1, 1]], [[1]]]


@pytest.mark.slow
def test_nncf_model_is_checked_and_opened_by_openvino_alone(tmp_path, monkeypatch):
    for package in ("nncf", "openvino"):
        pytest.importorskip(package, reason="it is what quantizes and runs the model")
    export(tmp_path / "b", onnx=True)
    bundle = open_bundle(tmp_path / "b")
    (entry,) = [item for item in bundle.manifest.models if item.precision == "int8-nncf"]
    assert entry.files == ("model.int8-nncf.xml", "model.int8-nncf.bin")
    assert entry.check.checked_with == "openvino"
    assert entry.check.relative_difference > 0
    ids = np.random.default_rng(0).integers(5, 40, (3, 9))
    found = open_model(bundle, precision="int8-nncf").run(ids, ids * 0)
    assert open_model(bundle, "openvino", "int8-nncf").precision == "int8-nncf"
    wanted = open_model(bundle, "openvino").run(ids, ids * 0)
    assert 0 < np.abs(found - wanted).max() < 2 * wanted.std()
    with pytest.raises(UserError, match="onnx_runtime does not compute in int8-nncf .* or take openvino"):
        open_model(bundle, "onnx_runtime", "int8-nncf")

    monkeypatch.setattr(variants.nncf_int8, "write", _of_another_model)
    with pytest.raises(RunError, match=r"ir-int8-nncf: the logits differ .* Try `precision` int8-static"):
        export(tmp_path / "c")
    assert not (tmp_path / "c").exists()


_write = nncf_int8.write


def _of_another_model(model, target, batches):
    other = tiny()
    for parameter in other.parameters():
        parameter.set_value(-parameter)
    _write(other, target, batches)
