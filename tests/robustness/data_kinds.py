"""What people train on and predict, and what texts are cut with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from helpers import mutations
from helpers.answers_case import lines, questions, squad
from helpers.data_files import write_sentiment_tsv
from helpers.grouped_data import write_choices, write_lists, write_pairs
from helpers.models import VOCABULARY
from helpers.mutations import Mutation
from helpers.paths import TESTS
from helpers.superglue_rows import write_superglue
from helpers.token_case import conll, tagged_sentences
from helpers.tokenizer_files import add_tokens, write_byte_pairs, write_vocabulary
from ofa_bert.tasks.task import Example
from robustness.kind import FileKind

TEXTS = ["a film is not good", ("the plot , was dull", "very bad <url>"), "e\u0301\U0001fae9 \0 film"]
LABELS, ROWS = ("bad", "good"), 12


def labelled(directory: Path, suffix: str) -> Path:
    rows = [{"text": f'the "plot", {place}', "label": LABELS[place % 2], "id": place} for place in range(ROWS)]
    path = directory / f"train{suffix}"
    if suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path
    between = "\t" if suffix == ".tsv" else ";"
    lines = [between.join(f'"{str(value).replace(chr(34), 2 * chr(34))}"' for value in row.values()) for row in rows]
    path.write_text("\n".join([between.join(rows[0]), *lines]) + "\n", encoding="utf-8")
    return path


def read_labelled(path: Path) -> None:
    """Trained on, and predicted: what is written back is read as the same table."""
    from ofa_bert.data.readers.own_files import read_own_file
    from ofa_bert.data.sources import load_datasets
    from ofa_bert.data.table_files import read_table
    from ofa_bert.data.table_writers import table_text

    load_datasets(train_file=path, dev_file=path)
    read_own_file(path, None, None, None, None, None, None)
    table = read_table(path)
    if "new" in {*table.header, *table.keys}:
        return
    written = path.with_name(f"written{path.suffix}")
    written.write_text(table_text(table, [{"new": "x"} for _ in table.rows]), encoding="utf-8", newline="")
    again = read_table(written)
    assert [row[: len(table.header)] for _, row in again.rows] == [row for _, row in table.rows]


def tagged(directory: Path, suffix: str) -> Path:
    path = directory / f"train{suffix}"
    if suffix == ".jsonl":
        part = {"start": 2, "end": 6, "label": "THING"}
        rows = [{"text": f"a film {place}", "entities": [part]} for place in range(ROWS)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        path.write_text(conll(tagged_sentences(ROWS)), encoding="utf-8")
    return path


def read_tagged(path: Path) -> None:
    from ofa_bert.data.readers.own_files import read_own_file
    from ofa_bert.data.sources import load_datasets

    load_datasets(train_file=path, dev_file=path)
    read_own_file(path, None, None, None, None, None, None)


def glue(directory: Path) -> Path:
    for name in ("train.tsv", "dev.tsv"):
        write_sentiment_tsv(directory / name, 20)
    return directory / "train.tsv"


def read_glue(path: Path) -> None:
    from ofa_bert.data.sources import load_datasets

    load_datasets(task_name="SST-2", data_dir=path.parent)


def squad_file(directory: Path) -> Path:
    (directory / "train.json").write_text(json.dumps(squad(questions(ROWS, lacking=0.3))), "utf-8")
    return directory / "train.json"


def answers_lines(directory: Path) -> Path:
    (directory / "train.jsonl").write_text(lines(questions(ROWS, lacking=0.3)), "utf-8")
    return directory / "train.jsonl"


def choices(directory: Path, suffix: str) -> Path:
    path = directory / f"train{suffix}"
    if suffix == ".jsonl":
        return write_choices(path, ROWS)
    lines = [f'"A man, {row}.",He,runs,eats,sits,{row % 3}' for row in range(ROWS)]
    path.write_text("\n".join(["sent1,sent2,ending0,ending1,ending2,label", *lines]) + "\n", encoding="utf-8")
    return path


def article(directory: Path) -> Path:
    (directory / "train").mkdir()
    path = directory / "train" / "1.txt"
    options = [["a", "b", "c"], ["d", "e", "f"]]
    content = {"article": "Tom sings.", "questions": ["Who?", "He _ ."], "options": options, "answers": ["A", "C"]}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def read_article(path: Path) -> None:
    from ofa_bert.data.sources import load_datasets

    load_datasets(train_file=path.parent, dev_file=path.parent)


def read_grouped(path: Path, word: str) -> None:
    """Trained on, and asked: what has no answers is asked all the same."""
    from ofa_bert.data.readers.asked import asked_of
    from ofa_bert.data.sources import load_datasets
    from ofa_bert.data.table_files import read_table

    task = load_datasets(train_file=path, dev_file=path, label_kind=word).task
    if not task.kind.windowed:
        asked_of(task, read_table(path))


def superglue(directory: Path, task: str) -> Path:
    return write_superglue(directory / task, task) / "train.jsonl"


def read_superglue(path: Path) -> None:
    from ofa_bert.data.sources import load_datasets

    load_datasets(task_name=path.parent.name, data_dir=path.parent)


def corpus(directory: Path) -> Path:
    write_vocabulary(directory / "words")
    path = directory / "corpus.txt"
    path.write_text("\n".join(" ".join(VOCABULARY[5 + place :]) for place in range(12)) + "\n", encoding="utf-8")
    return path


def read_corpus(path: Path) -> None:
    from ofa_bert.data.corpus import Corpus
    from ofa_bert.data.tokenization.tokenizer_files import read_tokenizer

    texts = Corpus(path, read_tokenizer(path.parent / "words", "bert"), 16, 4, 1, 0.15, held_out=2)
    assert texts.held_out()
    for batch in texts.epoch(0):
        assert batch.input_ids.shape == batch.labels.shape


def words(directory: Path, damaged: str) -> Path:
    write_vocabulary(directory / "tokens", do_lower_case=True)
    return add_tokens(directory / "tokens", "added_tokens.json") / damaged


def byte_pairs(directory: Path, damaged: str) -> Path:
    return write_byte_pairs(directory / "tokens") / damaged


def whole_tokenizer(directory: Path) -> Path:
    write_vocabulary(directory / "tokens", do_lower_case=True)
    return add_tokens(directory / "tokens", "tokenizer.json") / "tokenizer.json"


def unigram(directory: Path) -> Path:
    """XLM-RoBERTa's kind, as transformers wrote it."""
    (directory / "tokens").mkdir()
    stored = TESTS / "models" / "stored" / "xlm-roberta" / "classifier" / "tokenizer.json"
    return Path(shutil.copy(stored, directory / "tokens"))


def read_tokens(path: Path, family: str) -> None:
    """As training does: loaded, used, saved, loaded again."""
    from ofa_bert.data.tokenization.tokenizer_files import read_tokenizer

    found = read_tokenizer(path.parent, family)
    if found is None:  # only PaddleNLP cuts so
        return
    found.encode(TEXTS[:1] + TEXTS[2:], 8)
    found.encode(TEXTS[1:2], 8)
    found.save_pretrained(path.parent.parent / "saved")
    again = read_tokenizer(path.parent.parent / "saved", family)
    assert again is not None
    assert [ids.tolist() for ids in again.encode(TEXTS[:1])[0]] == [ids.tolist() for ids in found.encode(TEXTS[:1])[0]]


def read_tokenizer_of_a_bundle(path: Path) -> None:
    from ofa_bert.runtime.tokenizer import load_text_encoder

    ids, types = load_text_encoder(path.parent, 8)(["a film is not good"])
    assert len(ids[0]) == len(types[0])


def token_cache(directory: Path) -> Path:
    write_vocabulary(directory / "words")
    _encoded(directory)
    (path,) = (directory / "cache").iterdir()
    return path


def read_token_cache(path: Path) -> None:
    """It saves time and nothing else: the ids are right, whatever the file says."""
    from ofa_bert.data.encoding.encoded import encode

    found, wanted = _encoded(path.parent.parent), encode(EXAMPLES, _tokenizer(path.parent.parent), 16, False)
    assert [row.tolist() for row in found.input_ids] == [row.tolist() for row in wanted.input_ids]
    assert np.array_equal(found.labels, wanted.labels)


EXAMPLES = (Example("the plot was bad", None, 0), Example("we liked it", None, 1))


def _tokenizer(directory: Path):
    from ofa_bert.data.tokenization.tokenizer_files import read_tokenizer

    return read_tokenizer(directory / "words", "bert")


def _encoded(directory: Path):
    from ofa_bert.data.encoding.token_ids import encode_once

    return encode_once(EXAMPLES, _tokenizer(directory), 16, directory / "cache", False)


def _of_words(name: str, make: Callable[[Path], Path], mutate: Mutation, family: str = "bert") -> FileKind:
    return FileKind(name, make, partial(read_tokens, family=family), mutate, cases=30)


KINDS = (
    *(
        FileKind(f"labelled {suffix}", partial(labelled, suffix=suffix), read_labelled, mutate)
        for suffix, mutate in (
            (".tsv", mutations.of_lines), (".csv", mutations.of_lines), (".jsonl", mutations.of_json_lines),
        )
    ),
    FileKind("labelled .conll", partial(tagged, suffix=".conll"), read_tagged, mutations.of_lines),
    FileKind("tagged .jsonl", partial(tagged, suffix=".jsonl"), read_tagged, mutations.of_json_lines),
    FileKind("GLUE's train.tsv", glue, read_glue, mutations.of_lines),
    *(
        FileKind(f"choices {suffix}", partial(choices, suffix=suffix), partial(read_grouped, word="choices"), mutate)
        for suffix, mutate in ((".csv", mutations.of_lines), (".jsonl", mutations.of_json_lines))
    ),
    FileKind("SQuAD's .json", squad_file, partial(read_grouped, word="answers"), mutations.of_json),
    FileKind("answers .jsonl", answers_lines, partial(read_grouped, word="answers"), mutations.of_json_lines),
    FileKind("RACE's article", article, read_article, mutations.of_json),
    FileKind(
        "queries .jsonl", lambda directory: write_lists(directory / "train.jsonl", ROWS),
        partial(read_grouped, word="ranking"), mutations.of_json_lines,
    ),
    FileKind(
        "pairs .tsv", lambda directory: write_pairs(directory / "train.tsv", ROWS),
        partial(read_grouped, word="ranking"), mutations.of_lines,
    ),
    *(
        FileKind(f"SuperGLUE's {task}", partial(superglue, task=task), read_superglue, mutations.of_json_lines)
        for task in ("multirc", "wic", "wsc", "cb")
    ),
    FileKind("corpus", corpus, read_corpus, mutations.of_lines),
    _of_words("added_tokens.json", partial(words, damaged="added_tokens.json"), mutations.of_json),
    _of_words("vocab.txt, cut with", partial(words, damaged="vocab.txt"), mutations.of_lines),
    _of_words("vocab.json", partial(byte_pairs, damaged="vocab.json"), mutations.of_json, "roberta"),
    _of_words("merges.txt", partial(byte_pairs, damaged="merges.txt"), mutations.of_lines, "roberta"),
    _of_words("tokenizer.json", whole_tokenizer, mutations.of_json),
    _of_words("tokenizer.json of Unigram", unigram, mutations.of_json, "roberta"),
    FileKind("tokenizer.json of a bundle", whole_tokenizer, read_tokenizer_of_a_bundle, mutations.of_json, cases=80),
    FileKind("token cache", token_cache, read_token_cache, mutations.of_bytes, refuses=False, cases=20),
)  # fmt: skip
