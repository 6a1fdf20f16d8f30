"""The peers that other tools quantize: what they answer, what they are made with, and what they refuse."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.handmade_bundle import make_bundle
from ofa_bert.bench import plan
from ofa_bert.bench.benchmark import size_mib
from ofa_bert.bench.job import BenchGrid
from ofa_bert.bench.peers import hugging_face, quantized
from ofa_bert.bench.peers.base import Job, Opening
from ofa_bert.bench.peers.registry import PEERS
from ofa_bert.bench.probe import Candidate, tokens
from ofa_bert.errors import UserError
from ofa_bert.submodels.values import ModelShape, SubModelConfig

SHAPE = ModelShape(
    num_layers=3, hidden_size=32, num_heads=4, head_dim=8, ffn_size=64, vocab_size=40, max_positions=64,
    type_vocab_size=2, num_labels=3,
)  # fmt: skip
SUB_MODEL = SubModelConfig((0, 2), (2, 3), (10, 33))
NEEDS = {"optimum_int8": hugging_face.NEEDED, "nncf_int8": (*hugging_face.NEEDED, "nncf", "openvino")}


@pytest.mark.slow
@pytest.mark.parametrize("name", NEEDS)
def test_a_quantized_peer_answers_like_the_model_it_was_made_of(name, tmp_path, monkeypatch):
    for package in NEEDS[name]:
        pytest.importorskip(package, reason=f"{name} is made with it")
    import torch

    # In this process: it has PyTorch anyway, to compare with.
    monkeypatch.setattr(hugging_face.child_process, "ask", lambda _, request: quantized._export_all(request))
    job = Job(name, SHAPE, SUB_MODEL, str(tmp_path / "peer"), ("int8",))
    (written,) = PEERS[name].write([job])
    path = Path(written.files["int8"])
    model = hugging_face.hugging_face_model(SHAPE, SUB_MODEL)
    ids, types = tokens(2, 7, 0)
    with torch.no_grad():
        wanted = model(*map(torch.from_numpy, (ids, np.ones_like(ids), types))).numpy()
    backend = PEERS[name].open(Opening(None, path, "int8", "cpu", 1))
    found = backend.run(ids, types)
    np.testing.assert_allclose(found, wanted, atol=0.1)
    assert np.abs(found - wanted).max() > 1e-6, "nothing was quantized"
    backend.bind(ids, types)()
    assert (backend.name, backend.precision, backend.device) == (name, "int8", "cpu")
    assert not list(tmp_path.glob("*.plain.onnx"))


@pytest.mark.parametrize("name", NEEDS)
@pytest.mark.parametrize("precisions", [None, ("fp32", "int8"), ("fp16",)])
def test_quantized_peers_are_measured_in_int8_whatever_is_asked_for(name, precisions, tmp_path, monkeypatch):
    asked = []

    def ask(module, request):
        asked.append(module)
        files = [{"int8": f"{job['prefix']}.int8"} for job in request["jobs"]]
        return {"exported": [{"files": each, "fused": {}} for each in files]}

    monkeypatch.setattr(hugging_face.importlib.util, "find_spec", lambda package: package)
    monkeypatch.setattr(hugging_face.child_process, "ask", ask)
    bundles = plan.open_bundles([str(make_bundle(tmp_path / "x", shape=SHAPE.to_json(), sub_model=None))])
    (found,) = plan._peers(BenchGrid(peers=(name,), precisions=precisions), bundles, tmp_path, [])
    assert (found.backend, found.precision, found.file) == (name, "int8", str(tmp_path / f"{name}-0.int8"))
    assert asked == ["ofa_bert.bench.peers.quantized"]


def test_a_missing_quantizer_leaves_the_other_peer(tmp_path, monkeypatch):
    job = Job("nncf_int8", SHAPE, SUB_MODEL, str(tmp_path / "peer"), ("int8",))
    monkeypatch.setattr(
        hugging_face.importlib.util, "find_spec", lambda package: None if package == "nncf" else package
    )
    monkeypatch.setattr(hugging_face.child_process, "ask", lambda *_: {"exported": []})
    with pytest.raises(UserError, match="^peer nncf_int8: needs nncf: pip install nncf$"):
        PEERS["nncf_int8"].write([job])
    assert PEERS["optimum_int8"].write([replace(job, peer="optimum_int8")]) == []


def test_quantized_peers_are_for_cpus(tmp_path):
    job = Job("nncf_int8", SHAPE, SUB_MODEL, str(tmp_path / "peer"), ("int8",), gpu=True)
    with pytest.raises(UserError, match="^peer nncf_int8: is for CPUs; .* `device` cpu$"):
        PEERS["nncf_int8"].write([job])


def test_the_size_of_openvinos_pair_of_files(tmp_path):
    (tmp_path / "peer.xml").write_bytes(bytes(2**19))
    (tmp_path / "peer.bin").write_bytes(bytes(2**20))
    candidate = Candidate("x", "x", "nncf_int8", "int8", str(tmp_path / "peer.xml"))
    assert size_mib(candidate, None) == 1.5
