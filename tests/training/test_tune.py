"""Hyper-parameter search: what it keeps, that it stops bad runs, resumes, and leaves dev alone until the end."""

import json

import pytest

from ofa_bert.__main__ import main
from ofa_bert.models.directories import load_model
from ofa_bert.training.evaluation import score as real_score
from ofa_bert.training.tuning import tune as module


def command(tiny_bert_dir, glue_dir, output, *more):
    base = ["tune", "--model_name_or_path", str(tiny_bert_dir), "--task_name", "SST-2", "--data_dir", str(glue_dir)]
    base += "--device cpu --max_seq_length 16 --max_steps 12 --save_steps 4 --learning_rates 1e-7 1e-2".split()
    return main([*base, "--output_dir", str(output), *map(str, more)])


def results_of(output):
    return json.loads((output / "results.json").read_text())


@pytest.mark.slow
def test_runs_are_compared_on_train_and_the_best_is_scored_on_dev_once(
    tiny_bert_dir, glue_dir, tmp_path, monkeypatch, capsys
):
    seen = []

    def counted(task, run, splits, *more, **named):
        seen.append({name: len(part) for name, part in splits.items()})
        return real_score(task, run, splits, *more, **named)

    monkeypatch.setattr("ofa_bert.training.finetune.score", counted)
    monkeypatch.setattr(module, "score", counted)
    assert command(tiny_bert_dir, glue_dir, tmp_path, "--trials", 6) == 0
    assert seen[:-1] == [{"held out": 32}] * (len(seen) - 1)
    assert seen[-1] == {"dev": 96}
    said = capsys.readouterr().err
    assert "train 288 rows: " in said
    assert "sst-2: held out 32 rows: " in said
    assert " held out score " in said
    assert "dev score" not in said
    results = results_of(tmp_path)
    trials = results["trials"]
    assert len(trials) == 6
    assert all(row["steps"] == 12 for row in trials if row["state"] == "complete")
    best = max(row["score"] for row in trials if row["state"] == "complete")
    assert results["best"]["score"] == best
    model, _, record = load_model(tmp_path / "best")
    assert record.scores["score"] == results["dev"]["score"]
    assert model.config.num_labels == 2
    assert [path.name for path in tmp_path.glob("trial-*")] == [f"trial-{results['best']['trial']}"]


def test_a_run_below_the_median_is_stopped(tiny_bert_dir, glue_dir, tmp_path, monkeypatch):
    real, left = module.finetune, [0]

    def scripted(job, datasets, observe, token_cache):
        left[0] += 1
        if left[0] == 1:
            return real(job, datasets, observe)  # one with weights, for dev
        for step in (4, 8, 12):
            observe(step, -left[0])  # each run is worse than those before
        return {"best": {"score": -left[0]}}

    monkeypatch.setattr(module, "finetune", scripted)
    assert command(tiny_bert_dir, glue_dir, tmp_path, "--trials", 8) == 0
    trials = results_of(tmp_path)["trials"]
    assert [row["state"] for row in trials] == ["complete"] * 4 + ["pruned"] * 4
    assert [row["steps"] for row in trials] == [12] * 4 + [4] * 4


@pytest.mark.slow
def test_a_killed_search_goes_on(tiny_bert_dir, glue_dir, tmp_path, monkeypatch, capsys):
    real, runs = module.finetune, []

    def dies(job, datasets, observe, token_cache):
        runs.append(job.loop.seed)
        if len(runs) == 3:
            raise KeyboardInterrupt
        return real(job, datasets, observe)

    monkeypatch.setattr(module, "finetune", dies)
    assert command(tiny_bert_dir, glue_dir, tmp_path, "--trials", 4) == 130
    assert command(tiny_bert_dir, glue_dir, tmp_path, "--trials", 4) == 0
    assert len(runs) == 5
    assert command(tiny_bert_dir, glue_dir, tmp_path / "whole", "--trials", 4) == 0
    for part in ("trials", "best", "dev"):
        assert results_of(tmp_path)[part] == results_of(tmp_path / "whole")[part]
    capsys.readouterr()
    assert command(tiny_bert_dir, glue_dir, tmp_path, "--trials", 5, "--tune_share", "0.2") == 2
    assert "--tune_share was 0.1, now 0.2" in capsys.readouterr().err


def test_runs_that_all_diverge_end_in_one_line(tiny_bert_dir, glue_dir, tmp_path, capsys, monkeypatch):
    from ofa_bert.errors import RunError

    def diverges(job, datasets, observe, token_cache):
        raise RunError("the loss became NaN")

    monkeypatch.setattr(module, "finetune", diverges)
    assert command(tiny_bert_dir, glue_dir, tmp_path, "--trials", 3) == 1
    assert "none of 3 runs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--learning_rates", "1e-3"], "two numbers"),
        (["--tune_share", 1], "below 1"),
        (["--warmups", 1], "below 1"),
        (["--batch_sizes", 0], "above 0"),
        (["--resume"], "leave it out"),
    ],
)
def test_mistakes_are_told_in_one_line(tiny_bert_dir, glue_dir, tmp_path, capsys, more, words):
    assert command(tiny_bert_dir, glue_dir, tmp_path, *more) == 2
    assert words in capsys.readouterr().err
