"""The benchmarks at a tiny shape: both sides train the same thing, and the rows say what was run."""

import json
import math
import sys
from contextlib import ExitStack

import pytest

from helpers.paths import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import train_step
import turns

# 12 heads: PaddleNLP fails in a reshape where heads times width is no whole number.
TINY = train_step.bert(2, hidden=48, heads=12, ffn=96, vocab=60)
CASE = train_step.Case(TINY, "ours", length=8, batch=4)


def options(tmp_path, *more):
    return train_step.parse(["--repeats", "1", "--output", str(tmp_path / "rows.json"), *more])


@pytest.mark.slow
def test_both_sides_train_the_same_and_the_rows_say_so(tmp_path, monkeypatch):
    chosen = options(tmp_path)
    with ExitStack() as stack:
        # Without dropout and at width 1, where importance has no say, the two must take the very same steps.
        specs = [train_step.spec(CASE, side, chosen, dropout=0.0) for side in ("paddlenlp", "ours")]
        sides = [stack.enter_context(turns.Side(spec)) for spec in specs]
        turns.in_turn(sides, train_step.order(TINY, (1.0,)), repeats=3, warmup=0)
        theirs, ours = (side.losses for side in sides)
        assert theirs == pytest.approx(ours, rel=1e-6)
        for side in sides:
            side.round(train_step.order(TINY))
        # Their hidden-state loss has the embeddings in it, which are almost equal; and heads are in another order.
        assert all(math.isfinite(side.losses[-1]) for side in sides)
        rows = [train_step.row("tiny", CASE, side, chosen) for side in sides]
    monkeypatch.setattr(train_step, "run_case", lambda *arguments: rows)
    assert train_step.main(["--only", "minilm-64-ours", "--output", str(tmp_path / "rows.json")]) == 0
    written = json.loads((tmp_path / "rows.json").read_text())
    assert [row["side"] for row in written] == ["paddlenlp", "ours"]
    for row in written:
        assert len(row["seconds_per_step"]) == 4
        assert row["samples_per_second"] > 0
        assert row["peak_memory_mb"] >= row["memory_before_training_mb"] > 50
        assert row["mean_padded_length"] == 8
        assert row["versions"]["paddlenlp"]


def test_a_corpus_of_tasks_has_every_sentence_once_and_no_part_of_another(tmp_path, capsys):
    import task_sentences

    (tmp_path / "SST-2").mkdir()
    phrases = ["a fine film", "fine film", "a fine", "a fine filmmaker", "dull", "not  dull at all", "a fine film"]
    rows = "".join(f"{phrase} \t1\n" for phrase in phrases)
    (tmp_path / "SST-2" / "train.tsv").write_text(f"sentence\tlabel\n{rows}")
    (tmp_path / "SST-2" / "dev.tsv").write_text("sentence\tlabel\nunseen\t0\n")
    words = ["--task_names", "SST-2", "--data_dir", str(tmp_path), "--output", str(tmp_path / "out" / "corpus.txt")]
    task_sentences.main(words)
    lines = (tmp_path / "out" / "corpus.txt").read_text().splitlines()
    assert sorted(lines) == ["a fine film", "a fine filmmaker", "not dull at all"]
    assert "3 sentences of 6 texts, 10 words" in capsys.readouterr().out
