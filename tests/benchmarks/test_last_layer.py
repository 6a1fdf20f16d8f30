"""benchmarks/last_layer.py: both files are written, agree and are timed."""

import sys

import pytest

from helpers.paths import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import last_layer


def test_the_two_files_agree(capsys):
    argv = "--shape 2x48x4x96 --sub_models w1 w0.5_d0.5 --precision fp32 int8-static --batch 2 --length 9 --repeats 1"
    assert last_layer.main(argv.split()) == 0
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("| w")]
    assert [(row[0].strip(), row[1].strip()) for row in rows] == [
        ("w1", "fp32"),
        ("w1", "int8-static"),
        ("w0.5_d0.5", "fp32"),
        ("w0.5_d0.5", "int8-static"),
    ]
    assert all(float(row[6]) < 1e-5 for row in rows if "fp32" in row[1])
    assert all(float(row[3]) > 0 < float(row[4]) for row in rows)


def test_a_sub_model_that_cannot_be_is_one_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        last_layer.main(["--sub_models", "w2"])
    assert stopped.value.code == 2
    assert "w2: must be w<width>" in capsys.readouterr().err
