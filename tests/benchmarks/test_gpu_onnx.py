"""The GPU benchmark at a tiny shape on the CPU: graphs that travel without weights, and what is measured of them."""

import json
import sys

import numpy as np
import pytest

from helpers.paths import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

torch = pytest.importorskip("torch")

import gpu_onnx  # noqa: E402
import gpu_onnx_files  # noqa: E402

from ofa_bert.submodels.counting import count_parameters  # noqa: E402

TINY = ["--shapes", "3x48x4x96", "--vocabulary", "60"]
NAMES = ["w1", "w0.5_d0.6667"]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """What gpu_onnx_files.py writes for two sub-models in fp32; tests only read it."""
    output = tmp_path_factory.mktemp("gpu")
    argv = ["--output_dir", str(output), *TINY, "--sub_models", *NAMES, "--precisions", "fp32"]
    assert gpu_onnx_files.main(argv) == 0
    return output


def test_graphs_travel_without_their_weights(graphs):
    entries = json.loads((graphs / "models.json").read_text())
    for side in ("portable", "fused"):
        assert [one["sub_model"] for one in entries if one["side"] == side] == NAMES
    for one in entries:
        left_out = sum(int(np.prod(weight["shape"])) for weight in one["weights"])
        assert left_out > 3000
        assert (graphs / one["file"]).stat().st_size < 100_000
        assert not (graphs / (one["file"] + ".bin")).exists()
    narrow = entries[-1]["kept"]
    assert (narrow["layers"], narrow["heads"], narrow["ffn"]) == ([0, 2], [2, 2], [48, 48])


def test_made_weights_fill_the_graph_as_described(graphs, tmp_path):
    one = json.loads((graphs / "models.json").read_text())[0]
    path = gpu_onnx.make_weights(one, tmp_path)
    content = path.read_bytes()
    for weight in one["weights"]:
        count = int(np.prod(weight["shape"]))
        values = np.frombuffer(content, weight["dtype"], count, weight["offset"])
        assert values.std() == pytest.approx(weight["std"], rel=0.1, abs=1e-3)
        assert values.mean() == pytest.approx(weight["mean"], abs=4 * weight["std"] / count**0.5 + 1e-3)


def test_every_side_is_a_row_in_turn(graphs, tmp_path, capsys):
    argv = ["--models", str(graphs), "--device", "cpu", "--batch", "1", "3", "--length", "8", "--repeats", "3"]
    assert gpu_onnx.main([*argv, "--warmup", "0", "--output", str(tmp_path / "rows.json")]) == 0
    result = json.loads((tmp_path / "rows.json").read_text())
    sides = {row["side"] for row in result["rows"]}
    assert {"portable", "fused", "torch"} <= sides
    assert result["about"]["device"] == "cpu"
    assert result["about"]["torch"]
    for batch in (1, 3):
        for side in sides:
            here = [row for row in result["rows"] if (row["batch"], row["side"]) == (batch, side)]
            assert [row["sub_model"] for row in here] == NAMES
            assert all(row["runs"] == 3 and 0 < row["p50_ms"] <= row["p95_ms"] for row in here)
    for note in result["notes"].values():
        assert note["portable"]["max_abs_difference_to_cpu"] == 0
    printed = capsys.readouterr().out
    assert printed.count("| 3x48x4x96") == 4
    assert "x)" in printed
    assert not list(graphs.glob("*.bin"))  # made for the run, then removed


def test_torch_twin_has_the_same_shape():
    shape = gpu_onnx_files.shape_of("3x48x4x96", 60)
    for name in NAMES:
        kept = gpu_onnx_files.sub_model_of(shape, name)
        twin = gpu_onnx.Bert(shape.to_json(), kept.to_json(), mask=True)
        assert sum(parameter.numel() for parameter in twin.parameters()) == count_parameters(shape, kept)
        ids = torch.tensor([[5, 6, 7, 0], [5, 6, 7, 8]])
        with torch.no_grad():
            masked = twin.eval()(ids, torch.zeros_like(ids))
            alone = twin(ids[:1, :3], torch.zeros_like(ids[:1, :3]))
        torch.testing.assert_close(masked[:1], alone)  # padding changes nothing


def test_multipliers_name_what_the_readme_calls_them():
    shape = gpu_onnx_files.shape_of("12x768x12x3072", 30522)
    kept = gpu_onnx_files.sub_model_of(shape, "w0.6667_d0.5")
    assert kept.depth == 6
    assert set(kept.heads) == {8}
    assert set(kept.ffn) == {2048}
    assert set(gpu_onnx_files.sub_model_of(shape, "w1").ffn) == {3072}


def test_in_turn_alternates():
    calls = []
    runs = {name: lambda name=name: calls.append(name) for name in "ab"}
    times = gpu_onnx.in_turn(runs, 2, 1, 60, lambda: calls.append("wait"))
    assert [call for call in calls if call != "wait"] == ["a", "b"] * 3
    assert calls[:3] == ["wait", "a", "wait"]
    assert {name: len(values) for name, values in times.items()} == {"a": 2, "b": 2}
