"""Files of choices and of ranking, in every layout: rows, labels, groups, and one line for what is wrong."""

import json

import pytest

from ofa_bert.data.labelled_file import LabelledData
from ofa_bert.data.sources import load_datasets
from ofa_bert.errors import UserError
from ofa_bert.tasks.questions import Question


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def loaded(train, dev=None, **more):
    return load_datasets(train_file=train, dev_file=dev or train, **more)


def rows_of(examples):
    return [(row.text, row.text_pair, row.label, row.group) for row in examples]


def test_a_gap_takes_the_choice_and_a_question_stands_before_it():
    assert Question(" a ", ("b", " c"), "d ?").rows() == [("a", "d ? b"), ("a", "d ? c")]
    assert Question("a", ("b", "c"), "he _ it").rows() == [("a", "he b it"), ("a", "he c it")]
    assert Question("a", ("b", "c")).rows() == [("a", "b"), ("a", "c")]


def test_own_jsonl_says_the_answer_by_place_or_text(tmp_path):
    path = written(tmp_path / "own.jsonl", [
        {"text": "it rained", "choices": ["wet", "dry"], "label": 0},
        {"text": "it rained", "question": "so?", "choices": ["a", "b", "c"], "label": "c"},
        {"text": "two", "choices": ["1", "0"], "label": "0"},
    ])  # fmt: skip
    data = loaded(path)
    assert (data.task.kind_name, data.task.text_columns, data.task.num_labels) == ("choices", ("text", "choices"), 1)
    assert rows_of(data.train) == [
        ("it rained", "wet", 1.0, 0), ("it rained", "dry", 0.0, 0),
        ("it rained", "so? a", 0.0, 1), ("it rained", "so? b", 0.0, 1), ("it rained", "so? c", 1.0, 1),
        ("two", "1", 0.0, 2), ("two", "0", 1.0, 2),  # the text of a choice comes before its place
    ]  # fmt: skip


def test_swag(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text(
        ",video-id,fold-ind,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2,ending3,label\n"
        '0,v,1,x,A man sits.,He,gold,"runs, fast",eats,sings,reads,2\n'
    )
    data = loaded(path)
    assert data.task.kind_name == "choices"
    assert rows_of(data.train)[0] == ("A man sits.", "He runs, fast", 0.0, 0)
    assert [row.label for row in data.train] == [0.0, 0.0, 1.0, 0.0]


def test_copa(tmp_path):
    row = {"premise": "It rained.", "choice1": "Wet.", "choice2": "Dry.", "question": "effect", "label": 0, "idx": 0}
    data = loaded(written(tmp_path / "train.jsonl", [row, {**row, "question": "cause", "label": 1}]))
    assert rows_of(data.train) == [
        ("It rained.", "What happened as a result? Wet.", 1.0, 0),
        ("It rained.", "What happened as a result? Dry.", 0.0, 0),
        ("It rained.", "What was the cause of this? Wet.", 0.0, 1),
        ("It rained.", "What was the cause of this? Dry.", 1.0, 1),
    ]


def race(folder, answers=("B", "A")):
    folder.mkdir(parents=True)
    article = {
        "article": "Tom sings.", "id": "middle1.txt", "answers": list(answers),
        "questions": ["Who sings?", "Tom _ ."],
        "options": [["Ann", "Tom", "Bob", "Kim"], ["sings", "eats", "runs", "sits"]],
    }  # fmt: skip
    (folder / "1.txt").write_text(json.dumps(article))


def test_race(tmp_path):
    for split in ("train", "dev"):
        race(tmp_path / split / "middle")
        race(tmp_path / split / "high")
    data = loaded(tmp_path / "train", tmp_path / "dev")
    assert data.task.kind_name == "choices"
    assert len(data.train) == 16
    assert rows_of(data.train)[1] == ("Tom sings.", "Who sings? Tom", 1.0, 0)
    assert rows_of(data.train)[4] == ("Tom sings.", "Tom sings .", 1.0, 1)
    assert {row.group for row in data.dev["dev"]} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"text": "a", "choices": ["b", "c"], "label": 2},
            "label 2: must be the text of one choice, or its place, 0 to 1",
        ),
        ({"text": "a", "choices": ["b", "c"], "label": "d"}, "label 'd': must be"),
        ({"text": "a", "choices": ["b", "b"], "label": "b"}, "label 'b': must be the text of one choice"),
        ({"text": "a", "choices": ["b", "c"], "label": True}, "label True: must be"),
        ({"text": "a", "choices": ["b", "c"]}, "no answer"),
        ({"text": "a", "choices": ["b"], "label": 0}, "'choices' must be a list of 2 texts or more"),
        ({"text": "a", "choices": "bc", "label": 0}, "'choices' must be a list"),
        ({"text": "", "choices": ["b", "c"], "label": 0}, "'text' holds no text"),
    ],
)
def test_a_wrong_question_is_one_line(tmp_path, row, said):
    good = {"text": "a", "choices": ["b", "c"], "label": 1}
    with pytest.raises(UserError) as error:
        loaded(written(tmp_path / "own.jsonl", [good, row]))
    assert str(error.value).startswith(f"{tmp_path / 'own.jsonl'}:2: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_other_faults_of_files_with_choices(tmp_path):
    race(tmp_path / "race", answers=("B", "E"))
    with pytest.raises(UserError, match="question 1: answer 'E': must be a letter, A to D"):
        loaded(tmp_path / "race")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no .txt or .json files"):
        loaded(tmp_path / "empty")
    plain = written(tmp_path / "plain.jsonl", [{"text": "a", "label": "b"}])
    with pytest.raises(UserError, match="holds no questions with choices but"):
        loaded(plain, label_kind="choices")
    own = written(tmp_path / "own.jsonl", [{"text": "a", "choices": ["b", "c"], "label": 1}])
    with pytest.raises(UserError, match="have columns of their own"):
        loaded(own, label_kind="choices", label_columns=("label",))


def test_pairs_of_0_and_1_are_grouped_by_query(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("query\tpassage\tlabel\nq1\ta\t1\nq2\tb\t0\nq1\tc\t0\n")
    data = loaded(path)
    assert rows_of(data.train) == [("q1", "a", 1.0, 0), ("q2", "b", 0.0, 1), ("q1", "c", 0.0, 0)]
    assert (data.task.objective, data.task.metrics) == ("binary", ("mrr@10", "ndcg@10"))
    alone = tmp_path / "alone.tsv"
    alone.write_text("query\tpassage\tlabel\nq1\ta\t1\nq2\tb\t0\n")
    assert loaded(alone).task.metrics == ("accuracy",)


def test_numbers_and_named_columns(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("q,p,how\nq1,a,0.5\nq1,b,-2\nq2,c,1e-3\n")
    data = loaded(path, label_kind="ranking", text_columns=("q", "p"), label_columns=("how",))
    assert [row.label for row in data.train] == [0.5, -2.0, 0.001]
    assert (data.task.objective, data.task.text_columns) == ("numbers", ("q", "p"))


def test_queries_with_all_their_passages(tmp_path):
    rows = [
        {"query": "q1", "passages": ["a", "b"], "scores": [1.5, -3]},
        {"query": "q2", "passages": ["c"], "scores": [0]},
    ]
    data = loaded(written(tmp_path / "scores.jsonl", rows))
    assert rows_of(data.train) == [("q1", "a", 1.5, 0), ("q1", "b", -3.0, 0), ("q2", "c", 0.0, 1)]
    assert data.task.objective == "lists"
    labelled = [{"query": "q1", "passages": ["a", "b"], "labels": [0, 1]}]
    assert loaded(written(tmp_path / "labels.jsonl", labelled)).task.objective == "binary"


def test_triples_are_rows_of_0_and_1(tmp_path):
    path = tmp_path / "triples.tsv"
    path.write_text("query\tpositive\tnegative\nq\tgood\tbad\nq\tgood\tworse\n")
    assert rows_of(loaded(path).train) == [("q", "good", 1.0, 0), ("q", "bad", 0.0, 0), ("q", "worse", 0.0, 0)]
    path.write_text("query\tpositive\tnegative\nq\tgood\tbad\nq\tbad\tworse\n")
    with pytest.raises(UserError, match="'bad' is good for its query in one row and bad in another"):
        loaded(path)


def test_triples_of_ms_marco_have_no_header(tmp_path):
    path = tmp_path / "triples.tsv"
    path.write_text("what is x\tx is good\tbad\nwhat is x\tx is good\tworse\n")
    data = loaded(path, label_kind="ranking")
    wanted = [("what is x", "x is good", 1.0, 0), ("what is x", "bad", 0.0, 0), ("what is x", "worse", 0.0, 0)]
    assert rows_of(data.train) == rows_of(data.dev["dev"]) == wanted
    assert (data.task.objective, data.task.text_columns) == ("binary", ("query", "passage"))
    _, splits = LabelledData(file=str(path)).load(data.task)
    assert rows_of(splits["file"]) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Query\tPassage\tLabel\nq\ta\t1\n", "no column 'query'"),
        ("q\ta\t1\nq\tb\t0\n", "no column 'query'"),
        ("q\ta\tb\nq\t\tb\n", ":2: 'positive' holds no text"),
        ("q\ta\tb\tc\nq\ta\tb\tc\n", "no column 'query'"),
    ],
)
def test_what_is_no_triple_is_one_line(tmp_path, text, said):
    path = tmp_path / "own.tsv"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        loaded(path, label_kind="ranking")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"query": "q", "passages": ["a", "b"], "scores": [1]}, "'scores' must be a list of 2 numbers"),
        ({"query": "q", "passages": ["a"], "scores": ["x"]}, "'scores' holds 'x', must be a finite number"),
        ({"query": "q", "passages": ["a"], "scores": [1e60]}, "must be a finite number"),
        ({"query": "q", "passages": ["a"]}, "must have one of labels and scores; has none"),
        ({"query": "q", "passages": [], "scores": []}, "'passages' must be a list of 1 texts or more"),
        ({"query": 3, "passages": ["a"], "scores": [1]}, "'query' holds no text: 3"),
    ],
)
def test_a_wrong_query_is_one_line(tmp_path, row, said):
    good = {"query": "q", "passages": ["a"], "scores": [1]}
    with pytest.raises(UserError) as error:
        loaded(written(tmp_path / "own.jsonl", [good, row]))
    assert str(error.value).startswith(f"{tmp_path / 'own.jsonl'}:2: ")
    assert said in str(error.value)


def test_a_labelled_file_is_read_for_a_model_that_is_known(tmp_path):
    path = written(tmp_path / "own.jsonl", [{"text": "a", "choices": ["b", "c"], "label": 1}] * 2)
    known = loaded(path).task
    task, splits = LabelledData(file=str(path)).load(known)
    assert task == known
    assert len(splits["file"]) == 4
    task, splits = LabelledData(file=str(path)).load(None)
    assert task.kind_name == "choices"


def test_ordinary_files_stay_what_they_were(tmp_path):
    path = written(
        tmp_path / "own.jsonl",
        [{"query": "q", "passage": "a", "label": "yes"}, {"query": "p", "passage": "b", "label": "no"}],
    )
    data = loaded(path, text_columns=("query", "passage"))
    assert data.task.kind_name == "classification"
    assert data.train[0].group is None
