"""Questions about contexts: SQuAD's JSON and JSONL, faults, windows and their labels."""

import json

import numpy as np
import pytest

from helpers.answers_case import lines, questions, squad
from helpers.models import VOCABULARY
from helpers.tokenizer_files import write_vocabulary
from ofa_bert.data.encoding.encoded import encode
from ofa_bert.data.source import DataSource
from ofa_bert.data.sources import load_datasets
from ofa_bert.data.tokenization.tokenizer_files import read_tokenizer
from ofa_bert.errors import UserError
from ofa_bert.tasks.kinds.base import Gold, Golds
from ofa_bert.tasks.task import Example

ROW = ("the film was", "the plot was bad . the film was very good .", "very good", 32)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    directory = tmp_path_factory.mktemp("words") / "tokens"
    write_vocabulary(directory)
    (directory / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    return read_tokenizer(directory, "bert")


def loaded(path, **more):
    return load_datasets(train_file=path, dev_file=path, **more)


def test_both_layouts_say_the_same(tmp_path):
    rows = [*questions(4), ("was it dull ?", ROW[1], "", -1)]
    (tmp_path / "a.json").write_text(json.dumps(squad(rows)))
    (tmp_path / "a.jsonl").write_text(lines(rows))
    first, second = loaded(tmp_path / "a.json"), loaded(tmp_path / "a.jsonl", doc_stride=7)
    assert first.train == second.train
    assert first.train[-1].label == Golds()
    assert (first.task.objective, first.task.doc_stride, second.task.doc_stride) == ("may_lack", 128, 7)
    (tmp_path / "b.jsonl").write_text(lines(rows[:-1]))
    assert loaded(tmp_path / "b.jsonl").task.objective == "always"


def test_windows_are_for_this_kind_alone(tmp_path):
    (tmp_path / "a.tsv").write_text("text\tlabel\n" + "a film\tgood\na plot\tbad\n" * 8)
    source = DataSource(train_file=str(tmp_path / "a.tsv"), dev_file=str(tmp_path / "a.tsv"), doc_stride=9)
    with pytest.raises(UserError, match="`doc_stride` 9: task custom has classes, whose texts are not read in windows"):
        source.load()


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        ({"answers": [{"text": "good", "answer_start": 3}]}, "question 'q0', answers 0: text 'good' does not stand"),
        ({"answers": [{"text": "good"}]}, "question 'q0', answers 0: answer_start is missing"),
        ({"answers": "good"}, "question 'q0': answers is 'good', must be a list of objects"),
        ({"question": " "}, "question 'q0': question holds no text"),
    ],
)
def test_faults_name_file_and_question(tmp_path, change, pattern):
    made = squad([ROW])
    made["data"][0]["paragraphs"][0]["qas"][0].update(change)
    (tmp_path / "a.json").write_text(json.dumps(made))
    with pytest.raises(UserError, match=pattern) as found:
        loaded(tmp_path / "a.json")
    assert str(found.value).startswith(str(tmp_path / "a.json"))


def test_a_fault_in_a_line_names_it(tmp_path):
    (tmp_path / "a.jsonl").write_text(lines([ROW, (*ROW[:3], 5)]))
    with pytest.raises(UserError, match=r"a.jsonl:2, answers 0: text 'very good' does not stand at start 5"):
        loaded(tmp_path / "a.jsonl")


def test_a_context_that_fits_is_cut_as_a_pair_is(tokenizer):
    example = Example(ROW[0], ROW[1], Golds([Gold(ROW[2], ROW[3])]))
    encoded = encode([example], tokenizer, 48, progress=False, stride=8)
    (ids,), (types,) = tokenizer.encode([(ROW[0], ROW[1])], 48)
    assert encoded.input_ids[0].tolist() == ids.tolist()
    assert encoded.token_type_ids[0].tolist() == types.tolist()
    (start,), (end,) = (np.flatnonzero(encoded.labels[0] == mark) for mark in (1, 2))
    assert [VOCABULARY[ids[place]] for place in (start, end)] == ["very", "good"]


def test_windows_cover_the_context_and_one_without_the_answer_marks_the_first_token(tokenizer):
    example = Example(ROW[0], ROW[1], Golds([Gold(ROW[2], ROW[3])]))
    encoded = encode([example, Example("was it", "good", Golds())], tokenizer, 10, progress=False, stride=3)
    assert encoded.examples == 2
    assert max(map(len, encoded.input_ids)) <= 10
    assert encoded.group.tolist() == sorted(encoded.group.tolist())
    own = [window.spans[1:] for window, which in zip(encoded.windows, encoded.group) if which == 0]
    covered = {tuple(span) for spans in own for span in spans.tolist()}
    assert "".join(ROW[1][a:b] for a, b in sorted(covered)) == ROW[1].replace(" ", "")
    for row, spans in enumerate(own):
        whole = {tuple(span) for span in spans.tolist()} >= {(32, 36), (37, 41)}
        assert (encoded.labels[row, 0] == 3) == (not whole)
    assert encoded.labels[-1, 0] == 3
    sure = np.zeros([(encoded.labels >= 0).sum(), 2], np.float32)
    marks = encoded.labels[encoded.labels >= 0]
    sure[:, 0], sure[:, 1] = 9.0 * (marks & 1 > 0), 9.0 * (marks & 2 > 0)
    arrays = encoded.by_example(sure)
    from ofa_bert.tasks.kinds.answers import KIND

    assert KIND.predictions(arrays, (0.9,)).tolist() == [[32, 41], [-1, -1]]
    assert KIND.metrics["f1"](KIND.predictions(arrays, (0.9,)), encoded.scored) == 1
    assert encoded.take([1]).by_example(sure[-2:]).shape == (1, 2, 5)
