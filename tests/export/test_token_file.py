"""python -m ofa_bert vocabulary: the tokens that texts need, and an export with them cuts these texts as before."""

import json

import numpy as np
import pytest

from ofa_bert.__main__ import main
from ofa_bert.data.encoding.encoded import encode
from ofa_bert.models.directories import load_model
from ofa_bert.models.vocabulary import trim_vocabulary
from ofa_bert.tasks.task import Example

TEXTS = ["a film is not good", "the plot was dull ."]


def vocabulary(model, tmp_path, *more, texts=TEXTS):
    (tmp_path / "texts.txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    words = ["--model_name_or_path", str(model), "--texts", str(tmp_path / "texts.txt")]
    return main(["vocabulary", *words, "--output", str(tmp_path / "tokens.txt"), *more])


def test_the_tokens_of_the_texts_and_no_others(tiny_bert_dir, tmp_path, capsys):
    assert vocabulary(tiny_bert_dir, tmp_path) == 0
    tokens = (tmp_path / "tokens.txt").read_text().splitlines()
    assert set(tokens) == set(" ".join(TEXTS).split())
    _, tokenizer, _ = load_model(tiny_bert_dir, num_labels=2)
    places = [tokenizer.get_vocab()[token] for token in tokens]
    assert places == sorted(places)
    told = capsys.readouterr().out
    assert f"{len(tokens)} of " in told
    assert "out of 2 texts (10 tokens)" in told
    assert "MiB" in told


def test_what_it_writes_trims_a_model_that_cuts_the_texts_as_before(tiny_bert_dir, tmp_path):
    assert vocabulary(tiny_bert_dir, tmp_path) == 0
    model, tokenizer, _ = load_model(tiny_bert_dir, num_labels=2)
    before = encode([Example(text, None, 0) for text in TEXTS], tokenizer, 32, progress=False).input_ids
    smaller, rows = trim_vocabulary(model, tokenizer, tmp_path / "tokens.txt", tmp_path / "home")
    after = encode([Example(text, None, 0) for text in TEXTS], smaller, 32, progress=False).input_ids
    for one, other in zip(before, after):
        np.testing.assert_array_equal(rows[other], one)


def test_rare_tokens_can_be_left_out_and_single_characters_kept(tiny_bert_dir, tmp_path):
    assert vocabulary(tiny_bert_dir, tmp_path, "--least", "2", texts=[*TEXTS, "a film"]) == 0
    assert (tmp_path / "tokens.txt").read_text().split() == sorted(["a", "film"], key=["a", "film"].index)
    assert vocabulary(tiny_bert_dir, tmp_path, "--least", "2", "--characters", texts=[*TEXTS, "a film"]) == 0
    kept = (tmp_path / "tokens.txt").read_text().split()
    assert {"a", "film", ".", ","} <= set(kept)
    assert all(len(token.removeprefix("##")) == 1 for token in set(kept) - {"a", "film"})


def test_tables_are_read_by_their_columns(tiny_bert_dir, tmp_path):
    (tmp_path / "t.tsv").write_text("id\tsentence\nbad\tgood film\n")
    (tmp_path / "t.jsonl").write_text(json.dumps({"sentence": "dull plot"}) + "\n")
    words = ["--model_name_or_path", str(tiny_bert_dir), "--output", str(tmp_path / "out.txt")]
    assert main(["vocabulary", *words, "--texts", str(tmp_path / "t.tsv"), str(tmp_path / "t.jsonl")]) == 0
    assert set((tmp_path / "out.txt").read_text().split()) == {"good", "film", "dull", "plot"}
    assert main(["vocabulary", *words, "--texts", str(tmp_path / "t.tsv"), "--text_columns", "id"]) == 0
    assert (tmp_path / "out.txt").read_text().split() == ["bad"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--texts", "{tmp}/no.txt"], "no such file"),
        (["--texts", "{tmp}/texts.pdf"], "must end in .txt, .tsv, .csv, .jsonl"),
        (["--least", "99"], "--least 99: no token stands so often in 2 texts"),
        (["--text_columns", "text"], ".txt files have no columns"),
    ],
)
def test_mistakes_are_one_line(tiny_bert_dir, tmp_path, capsys, more, said):
    assert vocabulary(tiny_bert_dir, tmp_path, *(word.format(tmp=tmp_path) for word in more)) == 2
    error = capsys.readouterr().err.strip()
    assert said in error, error
    assert "Traceback" not in error
    assert not (tmp_path / "tokens.txt").exists()
