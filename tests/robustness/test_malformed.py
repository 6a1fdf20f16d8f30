"""What is wrong with a file that is sound JSON: each impossible value of each kind of file is a line that names it."""

from __future__ import annotations

import os

import pytest

from helpers.limits import outcome
from robustness.impossible import DEEP, not_refused

NAN, INF = float("nan"), float("inf")
CHOSEN, MODEL = ("exits", "chosen"), ("exits", "models", 0)
THRESHOLDS = ((NAN, "NaN|nan"), (INF, "Infinity|inf"), (-1, "threshold -1: must not be negative"), (5, "threshold 5: "))
ASKED = ([0, 1, 1], [5], [1, 0], [-1], "1")
HEADS = [[f"exits/head{place}.onnx"] for place in range(3)]

# kind of file -> (place of the value, value, words of the message).
CASES = {
    "manifest": [
        *((("num_labels",), value, "num_labels is") for value in (0, -1, True, 10**12)),
        (("num_labels",), 3, "labels is .*must be a name for each of 3 outputs"),
        *((("labels",), value, "labels is|task is") for value in (["a"], None, [*"abc"], ["a", "a"], [None, "b"])),
        *((("max_seq_length",), value, "max_seq_length is") for value in (1, 2, 0, -5, 10**12, 33)),
        *(((*CHOSEN, "policy", "threshold"), *case) for case in THRESHOLDS),
        *(((*CHOSEN, "ask"), value, "ask is") for value in ASKED),
        ((*CHOSEN, "policy", "kind"), "multilabel", "kind is 'multilabel', must be classification"),
        ((*MODEL, "heads"), [HEADS[1], HEADS[0], HEADS[2]], "heads is .*the files of each exit in its place"),
        ((*MODEL, "segments"), HEADS, "segments is .*the files of each exit in its place"),
        ((*MODEL, "heads"), [HEADS[0], HEADS[0], HEADS[2]], "heads is .*the files of each exit in its place"),
        (("exits", "layers"), [2, 1, 3], "layers is .*ascending"),
        (("pad_token_id",), 27, "pad_token_id is 27, must be below 27"),
        (("shape", "vocab_size"), 10**12, "vocab_size is 1000000000000"),
        (("task", "thresholds"), [0.5, 2], "thresholds .0.5, 2."),
        (("versions",), DEEP, "nested more than 100 deep"),
    ],
    "exit policy": [
        *((("policy", "threshold"), *case) for case in THRESHOLDS),
        *((("policy", "tolerance"), value, "tolerance is") for value in (NAN, INF, -1)),
        *((("ask",), value, "ask is") for value in ASKED),
        (("policy", "criterion"), "patience", "patience is a whole number"),
        (("policy", "kind"), "multilabel", "kind is 'multilabel', must be classification"),
        (("exits", "layers"), [2, 0], "was chosen for the exits"),
        (("task", "name"), None, "name is missing"),
        (("policy",), DEEP, "nested more than 100 deep"),
    ],
    "front": [
        *((("points", 1, "exits", "policy", "threshold"), *case) for case in THRESHOLDS),
        *((("points", 1, "exits", "ask"), value, "ask is|shares is") for value in (*ASKED, [])),
        (("shape", "num_labels"), 0, "no outputs"),
        (("winner",), True, "winner is True"),
        (("points",), DEEP, "nested more than 100 deep"),
    ],
    "latency table": [
        *((("base_ms",), value, "base_ms is") for value in (NAN, INF, 1e12, True)),
        (("heads_ms",), {"1": NAN}, "1 is nan"),
        (("exits", "head"), "__doc__", "head is '__doc__'"),
        (("setting",), DEEP, "nested more than 100 deep"),
    ],
    "guesses": [
        (("guesses", 0), DEEP, "nested more than 100 deep"),
        (("guesses", 1, "layers"), [7, 8], "guess 1: .*the model has layers 0 to 2.*remove the file"),
        (("guesses", 1, "heads"), [10**12, 1], "guess 1: .*1000000000000 heads"),
        (("guesses", 1, "ffn"), [1], "guess 1: not a sub-model"),
        (("guesses", 1, "layers"), [0] * 3000, "guess 1: not a sub-model.* not ascending"),
    ],
    "shape.json": [
        *((("hidden",), value, "hidden|at least 1") for value in (0, -4, True, None, "64", 65)),
        *(((name,), 10**12, "parameters, more than the 1e.10 of any BERT") for name in ("depth", "hidden", "ffn")),
        (("depth",), DEEP, "nested more than 100 deep"),
    ],
    "sub-model": [
        *((("heads",), value, "head") for value in ([0, 1, 1, 1], [10**12, 1, 1, 1], [True] * 4, [1], None, "1")),
        (("layers",), [3, 2, 1, 0], "not ascending"),
        (("layers",), DEEP, "nested more than 100 deep"),
    ],
    "tokenizer.json": [
        (("pre_tokenizer",), {"type": "Split", "pattern": {"Regex": "(a+)+$"}}, "pre_tokenizer 'Split' is not"),
        (("post_processor", "special_tokens"), {}, "post_processor has .*which it does not describe"),
        (("model", "vocab", "[CLS]"), 10**12, "has the number 1000000000000"),
        (("model", "max_input_chars_per_word"), 10**9, "max_input_chars_per_word is 1000000000"),
        (("normalizer",), DEEP, "nested too deeply"),
    ],
    "tokenizer.json of Unigram": [
        (("model", "vocab", 5), ["x", INF], "an entry of its vocabulary is"),
        (("model", "vocab"), DEEP, "nested too deeply|an entry of its vocabulary"),
        (("model", "unk_id"), 10**12, "its unk_id is 1000000000000"),
        (("normalizer", "normalizers", 0, "precompiled_charsmap"), "/////w==", "a table that is cut off"),
        (("pre_tokenizer", "replacement"), "x", "marks a blank as 'x'"),
    ],
    "index": [
        (("weight_map", "scalar"), "model.safetensors.index.json", "names 'model.safetensors.index.json', which is no"),
        (("weight_map", "scalar"), "../two.safetensors", "must lie beside the index"),
        (("weight_map",), DEEP, "nested more than 100 deep"),
    ],
    "evaluations": [
        ((1, "name"), "another", "name is 'another', must be"),
        *(((1, name), value, f"{name} is") for name in ("p", "e", "seconds") for value in (NAN, INF, -1, True)),
        ((1, "theta"), {"rate": "x"}, "rate .*'x'"),
        ((1, "candidate"), DEEP, "nested more than 100 deep"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_impossible_value_is_one_line(tmp_path, name):
    assert not_refused(name, CASES[name], tmp_path) == []


def test_a_study_of_other_things_is_one_line(tmp_path):
    """What SQLite finds nothing wrong with."""
    import sqlite3
    from contextlib import closing

    from robustness.search_kinds import read_study, study

    whole = study(tmp_path).read_bytes()
    read_study(tmp_path / "study.db")
    cases = {
        "UPDATE trial_values SET value = 12345.0": "its values are not those of its evaluation",
        "UPDATE trial_params SET param_value = 99 WHERE param_name = 'heads_0'": "is of no sub-model",
        "DELETE FROM trial_params WHERE param_name = 'ffn_1'": "is of no sub-model",
        "UPDATE trial_user_attributes SET value_json = '{' WHERE key = 'evaluated'": "malformed",
        "UPDATE trial_user_attributes SET value_json = '{}' WHERE key = 'evaluated'": "costs is missing",
        "UPDATE trial_user_attributes SET value_json = '[NaN]' WHERE key = 'violations'": "violations is",
        "UPDATE trial_system_attributes SET value_json = '1.5' WHERE key LIKE '%generation'": "malformed",
        "UPDATE trial_params SET distribution_json = '[]'": "malformed",
        "DELETE FROM study_directions": "is to ",
        "UPDATE trials SET state = 'ODD'": "malformed",
    }
    other = []
    for statement, words in cases.items():
        (tmp_path / "study.db").write_bytes(whole)
        with closing(sqlite3.connect(tmp_path / "study.db")) as base:
            assert base.execute(statement).rowcount, statement
            base.commit()
        found = outcome(lambda: read_study(tmp_path / "study.db"), 60, 2048)
        if not (found.startswith("refused: ") and words in found):
            other.append((statement, found[:300]))
    assert other == []


@pytest.mark.parametrize("name", ["vocab.txt", "train.tsv", "kept"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path, name):
    """Nobody writes into it, and reading one waits for whoever does."""
    from ofa_bert.data.table_files import read_table
    from ofa_bert.data.tokenization.tokenizer_files import read_tokenizer
    from ofa_bert.files.kept import kept_content

    os.mkfifo(tmp_path / name)
    read = {
        "vocab.txt": lambda: read_tokenizer(tmp_path, "bert"),
        "train.tsv": lambda: read_table(tmp_path / name),
        "kept": lambda: kept_content(tmp_path / name),  # saves time and nothing else
    }[name]
    assert outcome(read, 2, 1024).startswith("works" if name == "kept" else "refused: ")
