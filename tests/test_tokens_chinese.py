"""Chinese: characters as words, in PaddleNLP's format, with a real ERNIE on titles of news."""

import json
import random

import pytest

import export_model
import run_glue
from helpers.paths import SHARED
from ofa_bert.runtime.predictor import Predictor

MODEL, NEWS = SHARED / "models" / "ernie-3.0-nano-zh-uie", SHARED / "data" / "zh" / "TNEWS"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not (MODEL.is_dir() and NEWS.is_dir()), reason="needs the models and data beside the checkout"),
]
_FAMILY, _GIVEN = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗", "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超兰霞平刚桂英华慧"
_PLACE, _KIND = "东西南北安长江海青云龙凤石松柏清河山岭", "市县镇村"
_LINES = ("{PER}在{LOC}工作，", "我和{PER}去了{LOC}。", "{LOC}的{PER}说：", "从{LOC}到{LOC}，", "{PER}认识{PER}吗？")


def titles():
    lines = (NEWS / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return [line.split("\t")[0] for line in lines]


def name(rng, kind, for_dev):
    """Dev's names have last characters of their own."""
    last = _GIVEN[20:] if for_dev else _GIVEN[:20]
    if kind == "PER":
        return rng.choice(_FAMILY) + rng.choice(["", rng.choice(_GIVEN)]) + rng.choice(last)
    places = _PLACE[14:] if for_dev else _PLACE[:14]
    return "".join(rng.sample(places, 2)) + rng.choice(_KIND)


def row(rng, title, for_dev):
    characters, tags = [], []
    for piece in rng.choice(_LINES).replace("{", "|{").replace("}", "|").split("|"):
        kind = piece.removeprefix("{")
        said = name(rng, kind, for_dev) if piece.startswith("{") else piece
        characters += said
        tags += [f"{'I' if place else 'B'}-{kind}" if piece.startswith("{") else "O" for place in range(len(said))]
    characters += title
    tags += ["O"] * len(title)
    return "\x02".join(characters) + "\t" + "\x02".join(tags)


def test_characters_are_tagged_and_found(tmp_path):
    rng, news = random.Random(0), titles()
    for split, count in (("train", 800), ("dev", 150)):
        rows = ["text_a\tlabel", *(row(rng, rng.choice(news), split == "dev") for _ in range(count))]
        (tmp_path / f"{split}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    data = ["--train_file", str(tmp_path / "train.tsv"), "--dev_file", str(tmp_path / "dev.tsv"), "--device", "cpu"]
    steps = "--max_seq_length 32 --batch_size 16 --max_steps 60 --save_steps 60 --learning_rate 3e-4".split()
    given = [*data, "--model_name_or_path", str(MODEL), "--output_dir", str(tmp_path / "teacher"), *steps]
    assert run_glue.main(given) == 0
    score = json.loads((tmp_path / "teacher" / "results.json").read_text())["best"]["score"]
    assert score > 0.8
    given = ["--model_name_or_path", str(tmp_path / "teacher"), "--sub_model_output_dir", str(tmp_path / "dynamic")]
    given += ["--static_sub_model", str(tmp_path / "bundle"), "--onnx", "--precision", "fp32", "int8", *data]
    assert export_model.main(given) == 0
    text = " 李娟在青河县工作，iPhone 涨价了"
    with Predictor(tmp_path / "bundle", precision="int8", threads=1) as predictor:
        (found,) = predictor.predict([text])
    assert [(each.label, each.text) for each in found.entities] == [("PER", "李娟"), ("LOC", "青河县")]
    assert all(text[each.start : each.end] == each.text for each in found.entities)
