"""The made-up tasks: dev has words that no row of train has, and counting words does not find the right answer."""

import json
import sys

import pytest

from helpers.paths import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import grouped_tasks

from ofa_bert.data.sources import load_datasets


@pytest.mark.parametrize("task", ["choices", "ranking"])
def test_the_files_are_read_and_dev_names_what_train_does_not(tmp_path, task, capsys):
    assert grouped_tasks.main(["--output", str(tmp_path), "--train", "40", "--dev", "20"]) == 0
    assert "counting words scores" in capsys.readouterr().out
    home = tmp_path / task
    data = load_datasets(train_file=home / "train.jsonl", dev_file=home / "dev.jsonl")
    assert data.task.kind_name == task
    texts = {part: (home / f"{part}.jsonl").read_text().lower() for part in ("train", "dev")}
    said = {part: set(grouped_tasks.words(text)) for part, text in texts.items()}
    for part, other in (("train", "dev"), ("dev", "train")):
        own = {word.lower() for pool in grouped_tasks.pools(part) for word in pool}
        assert len(own & said[part]) > 10
        assert not own & said[other]


def test_counting_words_finds_little():
    questions, queries = (grouped_tasks.made(task, "dev", 300) for task in ("choices", "ranking"))
    assert grouped_tasks.by_overlap(questions) <= 0.6
    assert grouped_tasks.bm25(queries)["mrr@10"] <= 0.6
    assert all(sum(row["labels"]) == 1 for row in queries)
    assert grouped_tasks.made("ranking", "dev", 3) == queries[:3]
    assert json.dumps(queries) != json.dumps(grouped_tasks.made("ranking", "dev", 300, seed=1))


def test_bm25_finds_a_passage_that_alone_has_the_words():
    rows = [{"query": "red kite", "passages": ["a red kite", "a blue boat", "red"], "labels": [1, 0, 0]}]
    assert grouped_tasks.bm25(rows) == {"mrr@10": 1.0, "ndcg@10": 1.0}
    row = {"text": "in the barn", "question": "", "choices": ["the shed", "barn"], "label": 1}
    assert grouped_tasks.by_overlap([row]) == 0.5
