"""search --speedups from end to end: a tiny supernet, tables of this very device, bundles that answer."""

import dataclasses
import json

import numpy as np
import pytest

from ofa_bert import SearchJob, make_job, search_sub_models
from ofa_bert.__main__ import main
from ofa_bert.bundle.latency_table import LatencyTable
from ofa_bert.bundle.manifest import read_manifest
from ofa_bert.data.sources import load_datasets
from ofa_bert.models.directories import load_model
from ofa_bert.runtime.predictor import Predictor
from ofa_bert.search.speedups import family
from ofa_bert.submodels.values import SubModelConfig

pytestmark = pytest.mark.slow  # tables of two precisions, exports

TARGETS = (1.25, 1.6)


@pytest.fixture(scope="module")
def tables(tmp_path_factory, supernet_dir):
    """Of batches that take a millisecond: shorter calls of so small a model are all overhead."""
    folder = tmp_path_factory.mktemp("tables")
    paths = {name: folder / f"{name}.json" for name in ("fp32", "int8")}
    for name, path in paths.items():
        words = ["latency", "--model", supernet_dir, "--output", path, "--backend", "onnx_runtime", "--threads", 1]
        words += ["--precision", name, "--batch", 32, "--length", 32, "--models", 8, "--check", 3, "--repeats", 15]
        assert main(list(map(str, words))) == 0
    return paths


def options(supernet_dir, tables, output, targets=TARGETS, **more):
    return {
        "model": str(supernet_dir), "output_dir": str(output), "device": "cpu", "trials": 20, "population": 8,
        "examples": 40, "latency_table": [str(path) for path in tables], "speedups": list(targets), **more,
    }  # fmt: skip


def words_of(given):
    lists = {name: value if isinstance(value, list) else [value] for name, value in given.items()}
    return ["search", *(str(word) for name, values in lists.items() for word in (f"--{name}", *values))]


def test_a_family_is_measured_exported_and_answers(supernet_dir, tables, tmp_path, capsys, glue_dir, monkeypatch):
    given = options(supernet_dir, tables.values(), tmp_path)
    assert main(words_of(given)) == 0
    printed = capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())
    assert [row["name"] for row in results["family"]] == ["x1.25", "x1.6"]
    assert (tmp_path / "family.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "winner.json").exists()
    assert "winner" not in results
    (examples,) = load_datasets(task_name="SST-2", data_dir=glue_dir).dev.values()
    for row in results["family"]:
        home = tmp_path / row["name"]
        assert sorted(path.name for path in home.iterdir() if not path.name.startswith(".")) == ["static", "sub_model"]
        assert row["name"] in printed
        assert f"{row['speedup']:.2f}×" in printed
        assert row["measured"]
        assert row["speedup"] == pytest.approx(row["full_ms"] / row["ms"])
        assert row["within"] == (abs(row["target"] / row["speedup"] - 1) <= 0.03)
        assert row["within"] or row["speedup"] > row["target"]
        sub_model = SubModelConfig.from_json(row["sub_model"])
        assert row["predicted_ms"] == LatencyTable.load(tables[row["precision"]]).predict(sub_model)
        assert row["difference"]["low"] <= row["difference"]["score"] <= row["difference"]["high"]
        assert row["score"] - results["full"]["score"] == pytest.approx(row["difference"]["score"])
        _, _, record = load_model(home / "sub_model")
        assert record.sub_model == sub_model
        manifest = read_manifest(home / "static")
        assert manifest.sub_model == sub_model
        held = {model.precision: manifest.bytes_of(model) for model in manifest.models if model.format == "onnx"}
        assert row["file_bytes"] == held[row["precision"]]
        with Predictor(home / "static", backend="onnx_runtime", precision=row["precision"]) as predictor:
            found = predictor.predict([example.text for example in examples])
        right = np.mean([int(answer.label) == example.label for answer, example in zip(found, examples)])
        assert right == pytest.approx(row["dev"]["accuracy"], abs=0.1 if row["precision"] == "int8" else 1e-6)
    # The same again, through the API: no trial and no measurement is made twice, and the same is chosen.
    asked = []
    monkeypatch.setattr(family, "beside", lambda reference, others, vocabulary: asked.extend(others) or [])
    again = search_sub_models(make_job(SearchJob, **given))
    assert asked == []
    assert again["family"] == results["family"]
    assert again["trials"] == results["trials"]


def test_more_targets_go_on_from_there_and_another_machine_is_not_measured(supernet_dir, tables, tmp_path, caplog):
    table = LatencyTable.load(tables["fp32"])
    elsewhere = tmp_path / "elsewhere.json"
    dataclasses.replace(table, setting={**table.setting, "processor": "another"}).save(elsewhere)
    first = search_sub_models(make_job(SearchJob, **options(supernet_dir, [elsewhere], tmp_path / "o", [1.25])))
    assert "nothing is measured here" in caplog.text
    (row,) = first["family"]
    assert not row["measured"]
    assert row["within"]
    assert row["ms"] == row["predicted_ms"]
    more = search_sub_models(make_job(SearchJob, **options(supernet_dir, [elsewhere], tmp_path / "o", [1.25, 1.5])))
    assert [each["name"] for each in more["family"]] == ["x1.25", "x1.5"]
    assert more["trials"] == first["trials"]
