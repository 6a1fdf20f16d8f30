"""search --algorithm fptas on a tiny supernet: sub-models without training, shapes with real training steps."""

import json
import math

import pytest

from helpers.models import VOCABULARY
from ofa_bert.__main__ import main
from ofa_bert.search.fptas.walk import w_coefficient
from ofa_bert.submodels.shape import Surroundings, operations, parameters, shapes


def command(directory, output, *more):
    base = ["search", "--algorithm", "fptas", "--model", str(directory), "--output_dir", str(output)]
    return main([*base, "--device", "cpu", "--examples", "40", *map(str, more)])


def results_of(output):
    return json.loads((output / "results.json").read_text())


def test_sub_models_are_ranked_by_w_without_training(supernet_dir, tmp_path, capsys):
    ranges = ["--depths", 2, 3, 4, "--heads", 2, 4, "--ffn", 32, 64]
    assert command(supernet_dir, tmp_path, *ranges) == 0
    assert "highest W" in capsys.readouterr().out
    results = results_of(tmp_path)
    assert results["candidates"] == results["evaluated"] == 12
    records = {record["name"]: record for record in results["records"]}
    top = records["D4_A4_I64"]
    assert top["W"] == 0.0
    assert all(record["steps"] == 0 for record in records.values())
    for record in records.values():
        assert record["W"] == pytest.approx(w_coefficient(record["p"], record["i"], record["e"], top["p"], top["i"]))
    assert results["winner"]["W"] == max(record["W"] for record in records.values())
    winner = json.loads((tmp_path / "winner.json").read_text())
    assert winner == results["winner"]["candidate"]
    assert set(results["regret"]) == {"2", "3", "5", "10"}
    assert all(0 <= v <= 1 for v in results["regret"].values())
    assert records["D2_A4_I64"]["candidate"]["layers"] == [0, 3]  # the trained ones
    assert command(supernet_dir, tmp_path / "wide", *ranges, "--epsilon", 5) == 0
    assert results_of(tmp_path / "wide")["evaluated"] == math.ceil(12 / 5)


@pytest.mark.slow
def test_shapes_train_for_n_steps_at_most_and_resume(supernet_dir, tmp_path, monkeypatch):
    from ofa_bert.search.fptas import scratch

    ranges = ["--from_scratch", "--depths", 1, 2, "--heads", 2, 4, "--hidden", 16, 32, "--ffn", 16, 32]
    ranges += ["--max_steps", 3, "--batch_size", 8, "--learning_rates", 1e-3, 1e-2]
    real, calls = scratch.Trainer.error, []

    def dies(self, shape, theta, counter):
        if len(calls) == 9:
            raise KeyboardInterrupt
        calls.append((str(shape), theta["learning_rate"]))
        return real(self, shape, theta, counter)

    monkeypatch.setattr(scratch.Trainer, "error", dies)
    assert command(supernet_dir, tmp_path / "a", *ranges) == 130

    def counted(self, shape, theta, counter):
        calls.append((str(shape), theta["learning_rate"]))
        return real(self, shape, theta, counter)

    monkeypatch.setattr(scratch.Trainer, "error", counted)
    assert command(supernet_dir, tmp_path / "a", *ranges) == 0
    assert len(calls) == len(set(calls)) == 32
    results = results_of(tmp_path / "a")
    assert results["candidates"] == 16
    assert results["evaluated"] == 32
    assert {record["steps"] for record in results["records"]} == {3}
    around = Surroundings(len(VOCABULARY), 64, 2, 2)
    for shape in shapes([1, 2], [2, 4], [16, 32], [16, 32]):
        record = next(r for r in results["records"] if r["name"] == str(shape))
        assert (record["p"], record["i"]) == (parameters(shape, around), operations(shape, around))
    monkeypatch.setattr(scratch.Trainer, "error", real)
    assert command(supernet_dir, tmp_path / "b", *ranges, "--seeds", 2) == 0
    again = results_of(tmp_path / "b")
    assert [(r["name"], r["e"]) for r in again["records"]] == [(r["name"], r["e"]) for r in results["records"]]
    assert len(again["rank_correlation_of_seeds"]) == 1
    assert -1 <= again["rank_correlation_of_seeds"][0] <= 1
    assert json.loads((tmp_path / "b" / "shape.json").read_text()) == again["winner"]["candidate"]


def test_training_lowers_the_error(supernet_dir, tmp_path):
    ranges = ["--from_scratch", "--depths", 1, "--heads", 4, "--hidden", 32, "--ffn", 32, "--learning_rates", 3e-3]
    errors = []
    for steps in (1, 60):
        assert command(supernet_dir, tmp_path / str(steps), *ranges, "--max_steps", steps, "--batch_size", 16) == 0
        errors.append(results_of(tmp_path / str(steps))["winner"]["e"])
    assert errors[1] < errors[0]


def test_measured_times_are_linear_in_depth(supernet_dir, tmp_path, monkeypatch):
    from ofa_bert.latency import device

    def measure(self, builds, sizes, reference):
        assert reference in builds
        assert set(builds) == set(sizes)
        return {name: 1.0 + int(name.split("_")[0][1:]) * 2.0 for name in builds}

    monkeypatch.setattr(device.Measurer, "measure", measure)
    ranges = ["--from_scratch", "--depths", 1, 2, 3, "--heads", 4, "--hidden", 32, "--ffn", 32, "--max_steps", 1]
    assert command(supernet_dir, tmp_path, *ranges, "--measure_time") == 0
    times = {record["name"]: record["i"] for record in results_of(tmp_path)["records"]}
    assert times == {"D1_A4_H32_I32": 3.0, "D2_A4_H32_I32": 5.0, "D3_A4_H32_I32": 7.0}


def test_mistakes_are_told_in_one_line(supernet_dir, tmp_path, capsys):
    cases = [
        (["--epsilon", 0], "above 0"),
        (["--epsilon", 9999], "their number"),
        (["--hidden", 16], "--from_scratch"),
        (["--depths", 5], "layer"),
        (
            ["--from_scratch", "--depths", 9, "--heads", 4, "--hidden", 32, "--ffn", 64, "--max_steps", 1],
            "larger maximum",
        ),
    ]
    for number, (more, words) in enumerate(cases):
        code = command(supernet_dir, tmp_path / str(number), *more)
        error = capsys.readouterr().err
        assert code == 2, error
        assert words in error, error
        assert "Traceback" not in error, error


def test_a_budget_leaves_out_what_is_beyond_it(supernet_dir, tmp_path, capsys):
    ranges = ["--depths", 2, 4, "--heads", 2, 4, "--ffn", 32, 64]
    assert command(supernet_dir, tmp_path / "free", *ranges) == 0
    records = sorted(results_of(tmp_path / "free")["records"], key=lambda record: record["p"])
    limit = records[3]["p"]
    for flag, size in (("--max_params", "p"), ("--max_flops", "i")):
        limit = sorted(record[size] for record in records)[3]
        assert command(supernet_dir, tmp_path / size, *ranges, flag, limit) == 0
        results = results_of(tmp_path / size)
        assert results["winner"][size] <= limit
        assert results["winner"]["W"] == max(r["W"] for r in records if r[size] <= limit)
        capsys.readouterr()
        assert command(supernet_dir, tmp_path / "none", *ranges, flag, 1) == 1
        assert f"error: none of 8 candidates keeps within {flag} 1: the smallest has" in capsys.readouterr().err
    assert command(supernet_dir, tmp_path / "score", *ranges, "--min_score", 1.1) == 1
    assert "--min_score 1.1: the best of 8 candidates has 0." in capsys.readouterr().err
    assert command(supernet_dir, tmp_path / "score", *ranges, "--min_score", 0.01) == 0
    assert results_of(tmp_path / "score")["winner"]["score"] >= 0.01
    assert results_of(tmp_path / "score")["winner"]["name"] == results_of(tmp_path / "free")["winner"]["name"]
