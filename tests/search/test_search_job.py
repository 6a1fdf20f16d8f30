"""The search command on a tiny supernet: judging, resuming, processes, what it writes, and its errors."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import paddle
import pytest

from helpers.models import batch_of, build
from helpers.paths import ROOT
from ofa_bert.__main__ import main
from ofa_bert.bundle.front import Front
from ofa_bert.cli.parser import parse
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.data.held_out import HeldOut
from ofa_bert.errors import RunError
from ofa_bert.latency.device import Measurer
from ofa_bert.latency.fit import calibrate
from ofa_bert.models.directories import load_model, save_model
from ofa_bert.models.encoder import shape_of
from ofa_bert.models.supernet import forward
from ofa_bert.options import arguments
from ofa_bert.search import winner
from ofa_bert.search.front import Point
from ofa_bert.search.job import SearchJob, SupernetSource
from ofa_bert.search.run_modes import RunMode, RunModes
from ofa_bert.search.scorer import Scorer
from ofa_bert.search.setup import load_supernet
from ofa_bert.search.winner import checked_latency
from ofa_bert.submodels.counting import count_flops
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.uneven import uneven_space
from ofa_bert.submodels.values import SubModelConfig, uniform
from ofa_bert.tasks.task import Task

TASK = Task("made-up", ("a", "b", "c"), ("accuracy",), ("text",))


def command(supernet_dir, output, *more):
    base = ["search", "--model", str(supernet_dir), "--output_dir", str(output), "--device", "cpu"]
    return main([*base, "--trials", "24", "--population", "8", "--examples", "40", *map(str, more)])


def without_time(path):
    results = json.loads((path / "results.json").read_text())
    return {k: v for k, v in results.items() if k not in ("search_seconds", "config", "trials", "export")}


def scorer_of(model, count=24):
    encoded, rng = [], np.random.default_rng(3)
    for row in range(count):
        batch = batch_of(1, int(rng.integers(2, 12)), seed=row)
        encoded.append((batch.input_ids.numpy()[0], batch.token_type_ids.numpy()[0], int(rng.integers(3))))
    ids, types, labels = zip(*encoded)
    return Scorer(
        model, Encoded(list(ids), list(types), np.asarray(labels)), TASK, 0, uniform(shape_of(model), 1.0)
    ), ids


def test_the_scorer_gives_the_logits_of_forward_and_their_distance():
    model = build()
    scorer, ids = scorer_of(model)
    sub_model = SubModelConfig([0, 2, 3], [1, 4, 2], [10, 64, 33])
    logits = scorer.logits(sub_model)
    for row in (0, 5, 23):
        tensors = [paddle.to_tensor(ids[row][None]), paddle.to_tensor(np.asarray(types_of(scorer, row, ids))[None])]
        np.testing.assert_allclose(forward(model, *tensors, sub_model).logits.numpy()[0], logits[row], atol=1e-5)
    found = scorer.score(sub_model)
    assert found["score"] == float((logits.argmax(-1) == scorer.labels).mean())
    assert found["loss"] == pytest.approx(scorer.task.kind.distance(scorer.wanted, logits))
    assert found["loss"] > 0
    assert scorer.score(uniform(shape_of(model), 1.0))["loss"] == 0.0


def types_of(scorer, row, ids):
    length = len(ids[row])
    return (np.arange(length) >= length // 2).astype("int64")


@pytest.mark.parametrize("layers", [(0, 1, 2, 3), (0, 2, 3)])
def test_hurts_are_those_of_the_changed_sub_models(layers):
    model = build()
    scorer, _ = scorer_of(model)
    space = uneven_space(shape_of(model), 0.25, 0.5, steps=4)
    base = uniform(shape_of(model), 1.0, layers)
    loss_increases = scorer.loss_increases(base, space, True, lambda places: places)
    before = scorer.score(base)["loss"]
    for place, layer in enumerate(layers):
        rest = [i for i in range(len(layers)) if i != place]
        dropped = SubModelConfig([layers[i] for i in rest], [4] * len(rest), [64] * len(rest))
        assert loss_increases[layer][None] == pytest.approx(scorer.score(dropped)["loss"] - before, abs=1e-5)
        for heads, ffn in ((1, 64), (4, 16)):  # measured ones: the least of one part beside all of the other
            change = SubModelConfig(
                layers,
                [heads if i == place else 4 for i in range(len(layers))],
                [ffn if i == place else 64 for i in range(len(layers))],
            )
            expected = max(0.0, scorer.score(change)["loss"] - before)
            assert loss_increases[layer][(heads, ffn)] == pytest.approx(expected, abs=1e-5)
        assert loss_increases[layer][(4, 64)] == 0.0
    for layer in set(range(4)) - set(layers):
        assert loss_increases[layer] == {None: 0.0}


def test_search_writes_a_front_a_winner_and_a_model_that_exports(supernet_dir, tmp_path, capsys):
    shape = SearchSpace.from_json(json.loads((supernet_dir / "best" / "ofa_config.json").read_text())["space"]).shape
    limit = 0.7 * count_flops(shape, uniform(shape, 1.0))
    before = {path: path.read_bytes() for path in sorted((supernet_dir / "best").iterdir())}
    assert command(supernet_dir, tmp_path, "--max_flops", limit) == 0
    assert "front at this cost" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in sorted((supernet_dir / "best").iterdir())} == before
    results = json.loads((tmp_path / "results.json").read_text())
    front = results["front"]
    values, costs = [row["value"] for row in front], [row["flops"] for row in front]
    assert values == sorted(values)
    assert costs == sorted(costs)
    assert len(front) >= 2
    winner = json.loads((tmp_path / "winner.json").read_text())
    left = Front.load(tmp_path / "front.json")
    assert [point.costs["flops"] for point in left.points] == costs
    assert left.winner is None or left.points[left.winner].sub_model.to_json() == winner
    assert left.within(limit).costs["flops"] <= limit
    assert results["winner"]["sub_model"] == winner
    assert results["winner"]["flops"] <= limit
    assert results["winner"]["value"] == max(row["value"] for row in front if row["flops"] <= limit)
    assert [row["name"] for row in results["comparison"]] == ["w1_d1", "w0.5_d1", "w1_d0.5", "w0.5_d0.5"]
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    small, _, record = load_model(tmp_path / "sub_model")
    assert record.sub_model == SubModelConfig.from_json(winner)
    assert record.score == results["dev"]["score"]
    model, _tokenizer, _ = load_model(supernet_dir / "best")
    model.eval(), small.eval()
    batch = batch_of(vocab_size=20)
    expected = forward(model, batch.input_ids, batch.token_type_ids, SubModelConfig.from_json(winner)).logits.numpy()
    np.testing.assert_allclose(small(batch.input_ids, batch.token_type_ids).numpy(), expected, atol=1e-4)


def test_winner_file_is_what_export_takes(supernet_dir, tmp_path):
    import export_model

    assert command(supernet_dir, tmp_path, "--max_params", "1e9", "--trials", "8") == 0
    export = ["--model_name_or_path", str(supernet_dir), "--sub_model_output_dir", str(tmp_path / "dynamic")]
    export += ["--sub_model", str(tmp_path / "winner.json"), "--device", "cpu", "--max_seq_length", "32"]
    assert export_model.main(export) == 0
    again = ["--model_name_or_path", str(tmp_path / "sub_model"), "--sub_model_output_dir", str(tmp_path / "again")]
    assert export_model.main([*again, "--device", "cpu", "--max_seq_length", "32"]) == 0


@pytest.mark.slow
def test_a_resumed_search_gives_the_same_front_and_more_processes_work(supernet_dir, tmp_path, monkeypatch):
    from ofa_bert.search import nsga2

    assert command(supernet_dir, tmp_path / "a", "--max_flops", "1e9") == 0
    whole, real = without_time(tmp_path / "a"), nsga2.Nsga._one
    left = [14]

    def dies(*given):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        real(*given)

    monkeypatch.setattr(nsga2.Nsga, "_one", dies)
    assert command(supernet_dir, tmp_path / "b", "--max_flops", "1e9") == 130
    monkeypatch.setattr(nsga2.Nsga, "_one", real)
    assert command(supernet_dir, tmp_path / "b", "--max_flops", "1e9") == 0
    assert without_time(tmp_path / "b") == whole
    monkeypatch.setattr(nsga2.Nsga, "_one", None)  # every trial must come from the other processes
    shutil.copy(tmp_path / "a" / "guesses.json", tmp_path / "guesses.json")
    assert command(supernet_dir, tmp_path, "--max_flops", "1e9", "--processes", "2", "--trials", "12") == 0
    assert json.loads((tmp_path / "results.json").read_text())["trials"] >= 12


@pytest.mark.slow
def test_latency_budget_and_finetuned_winner(supernet_dir, tmp_path):
    shape = SearchSpace.from_json(json.loads((supernet_dir / "best" / "ofa_config.json").read_text())["space"]).shape
    setting = Measurer("cpu", "onnx_runtime", "fp32", 1, 2, 12, 3).setting()
    table = calibrate(shape, lambda models: [0.1 + sum(m.heads) + sum(m.ffn) / 64 for m in models], 0.25, setting)
    table.save(tmp_path / "t.json")
    limit = 12.5
    more = ["--latency_table", tmp_path / "t.json", "--max_latency_ms", limit, "--finetune_steps", "6"]
    assert command(supernet_dir, tmp_path / "out", *more, "--batch_size", "8") == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    sub_model = SubModelConfig.from_json(results["winner"]["sub_model"])
    assert results["cost"] == "latency_ms"
    assert table.predict(sub_model) == results["winner"]["latency_ms"] <= limit
    assert results["latency"]["predicted_ms"] == table.predict(sub_model)
    assert 0 < results["latency"]["measured_ms"] < 5  # really run: the table's milliseconds are made up
    assert results["finetune"]["steps"] == 6
    elsewhere = dataclasses.replace(table, setting={**setting, "processor": "another"})
    assert checked_latency(elsewhere, None, None, RunMode("fp32"), 1.0, ())["measured_ms"] is None
    small, _, _ = load_model(tmp_path / "out" / "sub_model")
    model, _, _ = load_model(supernet_dir / "best")
    batch = batch_of(vocab_size=20)
    small.eval(), model.eval()
    untrained = forward(model, batch.input_ids, batch.token_type_ids, sub_model).logits.numpy()
    moved = np.abs(small(batch.input_ids, batch.token_type_ids).numpy() - untrained).max()
    assert 1e-6 < moved < 1.0


def points_at(*predicted):
    sub_model = SubModelConfig([0], [1], [8])
    return [Point(sub_model, -ms, ms, 0.9, {"latency_ms": ms}, {"shares": []}) for ms in predicted]


@pytest.mark.parametrize(
    ("predicted", "measured", "limit", "chosen"),
    [
        ([1.9, 1.8], [1.95], 2.0, 0),
        ([1.99, 1.98, 1.9], [2.04, 2.01, 1.97], 2.0, 2),
        ([1.99, 1.98, 1.97, 1.96, 1.95, 1.94, 1.6], [2.1, 2.1, 2.1, 2.1, 1.7], 2.0, 6),  # passed over: 5, then 6
        ([1.99, 1.98], [None], 2.0, 0),  # a table of another machine
        ([1.99, 1.98], [2.1, 2.05], 2.0, None),
        ([1.5] * 30, [3.0] * 4, 2.0, None),
        ([5.0, 4.0], [7.0], None, 0),  # no limit: it is only reported
    ],
)
def test_a_winner_that_measures_beyond_the_budget_is_passed_over(monkeypatch, predicted, measured, limit, chosen):
    left = list(measured)

    def found(supernet, point, ways):
        return {"predicted_ms": point.costs["latency_ms"], "measured_ms": left.pop(0)}

    monkeypatch.setattr(winner, "_measured", found)
    points, ways = points_at(*predicted), RunModes({"fp32": None})
    if chosen is None:
        with pytest.raises(RunError, match=r"the fastest takes [23].* ms; make the table again"):
            winner.affordable(None, points, ways, limit)
    else:
        point, tried = winner.affordable(None, points, ways, limit)
        assert point is points[chosen]
        assert [each["measured_ms"] for each in tried] == measured
        results = {"dev": {"accuracy": 0.9}, **winner.latency_of(tried)}
        assert results["latency"]["measured_ms"] == measured[-1]
        shown = winner.printed(results)
        assert shown.count("passed over") == len(measured) - 1
    assert left == []


@pytest.mark.slow
def test_min_score_gives_the_cheapest_that_keeps_it(supernet_dir, tmp_path):
    assert command(supernet_dir, tmp_path, "--min_score", "0.5", "--cost", "parameters") == 0
    results = json.loads((tmp_path / "results.json").read_text())
    found = results["winner"]
    keeping = [row["parameters"] for row in results["front"] if row["score"] >= 0.5]
    assert found["score"] >= 0.5
    assert found["parameters"] == min(keeping)


def test_mistakes_are_told_in_one_line(supernet_dir, tmp_path, capsys):
    cases = [
        ([], 2, "say what is wanted"),
        (["--max_latency_ms", "3"], 2, "--latency_table"),
        (["--max_flops", "-1"], 2, "above 0"),
        (["--max_flops", "3", "--trials", "6"], 2, "--max_flops 3: the smallest sub-model"),
        (["--min_score", "1.1", "--trials", "6"], 1, "the best found has"),
    ]
    for number, (more, expected, words) in enumerate(cases):
        code = command(supernet_dir, tmp_path / str(number), *more)
        error = capsys.readouterr().err
        assert (code, words in error, "Traceback" in error) == (expected, True, False), error
    (tmp_path / "t.json").write_text("{}")
    assert command(supernet_dir, tmp_path / "x", "--max_latency_ms", 3, "--latency_table", tmp_path / "t.json") == 2
    assert "t.json: format is missing; python -m ofa_bert latency" in capsys.readouterr().err


def test_two_searches_of_one_directory_and_directories_that_are_none(supernet_dir, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "study.db").write_bytes(b"garbage" * 1000)
    cases = [("file", "is a file"), ("broken", "is no study of a search"), ("x" * 3600, "File name too long")]
    for name, words in cases:
        assert command(supernet_dir, tmp_path / name, "--max_flops", "1e9", "--trials", "6") == 2
        error = capsys.readouterr().err
        assert words in error, error
        assert "Traceback" not in error, error
    script = (
        "import sys\nfrom ofa_bert.files import lock\nlock.hold(sys.argv[1])\nprint(1, flush=True)\nsys.stdin.read()"
    )
    held = tmp_path / "held"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(held)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as other:  # fmt: skip
        other.stdout.readline()
        assert command(supernet_dir, held, "--max_flops", "1e9", "--trials", "6") == 2
        assert f"is being written by process {other.pid}" in capsys.readouterr().err
        assert command(supernet_dir, held, "--max_flops", "1e9", "--trials", "6", "--worker") == 0  # it only helps


def test_other_training_data_are_refused_and_few_held_out_examples_warned_about(supernet_dir, tmp_path, capsys):
    model, tokenizer, record = load_model(supernet_dir / "best")
    found = load_supernet(SupernetSource(model=str(supernet_dir)), tmp_path / "ids")
    known = HeldOut(len(found.held_out), 42, "0" * 64)
    save_model(tmp_path / "m", model, tokenizer, dataclasses.replace(record, held_out=known))
    assert command(tmp_path / "m", tmp_path / "out", "--max_flops", "1e9") == 2
    assert "was trained with other training data" in capsys.readouterr().err
    assert command(supernet_dir, tmp_path / "few", "--max_flops", "1e9", "--trials", "6") == 0
    said = capsys.readouterr().err
    assert f"searches on {len(found.held_out)} held-out examples: an accuracy of 0.90 there stands for" in said
    assert "--held_out_share" in said


def test_a_model_that_is_no_supernet_is_refused(tiny_bert_dir, supernet_dir, tmp_path, capsys):
    model, tokenizer, record = load_model(supernet_dir / "best")
    save_model(tmp_path / "m", model, tokenizer, dataclasses.replace(record, space=None))
    assert command(tmp_path / "m", tmp_path / "out", "--max_flops", "1e9") == 2
    assert "is no supernet" in capsys.readouterr().err


def test_a_command_line_survives_the_way_to_a_worker():
    words = ["--model", "m", "--output_dir", "o", "--max_flops", "1e9", "--text_columns", "a", "b", "--train_file", "t"]
    job = parse(SearchJob, [*words, "--dev_file", "d", "--worker"], "")
    assert parse(SearchJob, arguments(job), "") == job


@pytest.mark.slow
@pytest.mark.parametrize("precision", [None, "int8"])
def test_a_file_size_is_kept_by_the_file_that_is_exported(supernet_dir, tmp_path, capsys, precision):
    import export_model
    from ofa_bert.search.costs.file_size import file_bytes

    shape = SearchSpace.from_json(json.loads((supernet_dir / "best" / "ofa_config.json").read_text())["space"]).shape
    limit = 0.7 * file_bytes(shape, uniform(shape, 1.0), precision or "fp32") / 2**20
    asked = [] if precision is None else ["--file_precision", precision]
    assert command(supernet_dir, tmp_path, "--max_file_mib", limit, *asked) == 0
    assert " MiB " in capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())
    winner = results["winner"]
    assert results["cost"] == "file_mib"
    assert winner["file_mib"] <= limit
    assert [row["file_mib"] for row in results["front"]] == sorted(row["file_mib"] for row in results["front"])
    assert export_model.main([*results["export"], "--max_drop", "1"]) == 0
    name = "model.onnx" if precision is None else f"model.{precision}.onnx"
    written = (tmp_path / "static" / name).stat().st_size / 2**20
    assert written == pytest.approx(winner["file_mib"], rel=0.01)
    # A search is continued in the precision that it was begun in.
    assert command(supernet_dir, tmp_path, "--max_file_mib", limit, "--file_precision", "fp16") == 2
    assert "file_precision was" in capsys.readouterr().err


def test_rows_say_a_file_size_when_it_was_asked_for(supernet_dir, tmp_path):
    assert command(supernet_dir, tmp_path, "--max_params", "1e9", "--trials", "5") == 0
    assert "file_mib" not in json.loads((tmp_path / "results.json").read_text())["winner"]
