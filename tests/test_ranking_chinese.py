"""Chinese: which title answers a word for a subject, with a real ERNIE on titles of news."""

import json
import random

import numpy as np
import pytest

import export_model
import run_glue
from helpers.paths import SHARED
from ofa_bert.runtime.predictor import Predictor
from ofa_bert.tasks.ranking_metrics import mrr_at_10

MODEL, NEWS = SHARED / "models" / "ernie-3.0-nano-zh-uie", SHARED / "data" / "zh" / "TNEWS"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not (MODEL.is_dir() and NEWS.is_dir()), reason="needs the models and data beside the checkout"),
]
SUBJECTS = {
    "agriculture": "农业", "car": "汽车", "edu": "教育", "entertainment": "娱乐", "finance": "财经", "game": "游戏",
    "house": "房产", "military": "军事", "sports": "体育", "travel": "旅游",
}  # fmt: skip
PASSAGES = 5


def titles(split):
    """subject -> its titles. Those of dev are in no row of train."""
    found = {word: [] for word in SUBJECTS.values()}
    for line in (NEWS / f"{split}.tsv").read_text(encoding="utf-8").splitlines():
        title, label = line.rsplit("\t", 1)
        subject = SUBJECTS.get(label.removeprefix("news_"))
        if subject:
            found[subject].append(title)
    return found


def query(rng, found):
    subjects = rng.sample(sorted(found), PASSAGES)
    passages = [rng.choice(found[subject]) for subject in subjects]
    right = rng.randrange(PASSAGES)
    labels = [int(place == right) for place in range(PASSAGES)]
    return {"query": f"关于{subjects[right]}的新闻", "passages": passages, "labels": labels}


def counted(rows):
    """MRR@10 of the characters that a passage has in common with the query."""
    scores = [[float(len(set(row["query"]) & set(text))) for text in row["passages"]] for row in rows]
    return mrr_at_10(np.array(scores), np.array([row["labels"] for row in rows], float))


def test_titles_are_ordered_by_what_they_are_about(tmp_path):
    rng = random.Random(0)
    rows = {split: [query(rng, titles(split)) for _ in range(count)] for split, count in (("train", 700), ("dev", 150))}
    for split, each in rows.items():
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in each]
        (tmp_path / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    data = ["--train_file", str(tmp_path / "train.jsonl"), "--dev_file", str(tmp_path / "dev.jsonl"), "--device", "cpu"]
    steps = "--max_seq_length 32 --batch_size 32 --max_steps 110 --save_steps 110 --learning_rate 3e-4".split()
    given = [*data, "--model_name_or_path", str(MODEL), "--output_dir", str(tmp_path / "teacher"), *steps]
    assert run_glue.main(given) == 0
    score = json.loads((tmp_path / "teacher" / "results.json").read_text())["best"]["score"]
    assert score > 0.75
    assert counted(rows["dev"]) <= 0.7 * score
    given = ["--model_name_or_path", str(tmp_path / "teacher"), "--sub_model_output_dir", str(tmp_path / "dynamic")]
    given += ["--static_sub_model", str(tmp_path / "bundle"), "--onnx", "--precision", "fp32", "int8", *data]
    assert export_model.main(given) == 0
    sports, farm = "这场球赛最后一分钟进球，主队夺冠", "今年小麦丰收，农民卖粮价格上涨"
    with Predictor(tmp_path / "bundle", precision="int8", threads=1) as predictor:
        first = [predictor.rank(f"关于{word}的新闻", [sports, farm])[0][2] for word in ("体育", "农业")]
    assert first == [sports, farm]
