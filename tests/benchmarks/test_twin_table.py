"""The table over the tasks that `torch_twin.py train` was run on."""

import json
import sys

import pytest

from helpers.paths import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import twin_table


def run_of(directory, task, *rows):
    directory.mkdir()
    made = [
        {"task": task, "teacher": {"score": taught}, "scores": dict.fromkeys(found, 0.5), "differences": found}
        for taught, found in rows
    ]
    (directory / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    return str(directory)


def test_mean_and_deviation_over_seeds_and_the_mean_over_tasks(tmp_path, capsys):
    one = run_of(tmp_path / "a", "cola", (0.4, {"w1": 1.0, "w0.5": -2.0}), (0.4, {"w1": 3.0, "w0.5": -2.0}))
    two = run_of(tmp_path / "b", "mrpc", (0.9, {"w1": -1.0, "w0.5": -6.0}))
    assert twin_table.main([one, two]) == 0
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["sub-model", "cola (2)", "mrpc (1)", "average"]
    assert rows[2:] == [
        ["teacher", "40.0", "90.0", "65.0"],
        ["w1", "+2.0 ± 1.4", "-1.0", "+0.5"],
        ["w0.5", "-2.0", "-6.0", "-4.0"],
    ]


def test_what_has_no_rows_or_others(tmp_path, capsys):
    one = run_of(tmp_path / "a", "cola", (0.4, {"w1": 1.0}))
    for other, said in (
        (run_of(tmp_path / "b", "cola", (0.4, {"w2": 1.0})), "other sub-models"),
        (str(tmp_path), "rows.jsonl"),
    ):
        with pytest.raises(SystemExit):
            twin_table.main([one, other])
        assert said in capsys.readouterr().err
