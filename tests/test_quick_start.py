"""The examples run as they are, on fewer rows."""

import csv
import json
import os
import subprocess
import sys

import pytest

from helpers.paths import ROOT

EXAMPLES = ROOT / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
ROWS = 96
FEW = {"ROWS": ROWS, "EPOCHS": 1}


def notebook(path):
    return json.loads(path.read_text(encoding="utf-8"))


def check_results(output):
    with open(output / "predicted.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == ROWS
    assert list(rows[0]) == ["text", "label", "predicted_label", "probability"]
    assert {row["predicted_label"] for row in rows} <= {"negative", "positive"}
    manifest = json.loads((output / "small-bundle" / "manifest.json").read_text())
    assert {model["precision"] for model in manifest["models"]} == {"fp32", "int8"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_quick_start_runs(tmp_path):
    words = ["--output_dir", str(tmp_path), "--rows", str(ROWS), "--epochs", "1"]
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "quick_start.py"), *words],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    check_results(tmp_path)
    assert "10 examples: accuracy" in done.stdout
    assert "The plot of this film is wonderful." in done.stdout.splitlines()[-2]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_its_first_cell_to_its_last(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    names = {}
    for cell in notebook(path)["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{path.name}: {cell['id']}", "exec"), names)
        if "parameters" in cell["metadata"].get("tags", ()):
            assert FEW.keys() <= names.keys()
            names |= FEW
    check_results(tmp_path / "out" / "quick_start")
    assert "The plot of this film is wonderful." in capsys.readouterr().out


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_holds_no_outputs_and_is_of_the_format(path):
    content = notebook(path)
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
    for cell in content["cells"]:
        assert cell["cell_type"] in ("code", "markdown")
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


def test_there_are_examples():
    assert NOTEBOOKS
    assert (EXAMPLES / "quick_start.py").is_file()
