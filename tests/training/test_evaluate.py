"""The evaluation loop, the tables and pictures, the stopwatch, and how commands fail."""

import errno
import logging
import os

import numpy as np
import paddle
import pytest

from ofa_bert.cli import process
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.errors import RunError, UserError
from ofa_bert.reporting import table
from ofa_bert.system import timing
from ofa_bert.tasks.glue import glue_task
from ofa_bert.training.evaluation import predict, score
from ofa_bert.training.supernet.importance import Importance
from ofa_bert.training.supernet.importance_plot import importance_plot


def encoded(labels, seed=0):
    rng = np.random.default_rng(seed)
    ids = [rng.integers(1, 9, rng.integers(1, 12)) for _ in labels]
    return Encoded(ids, [np.zeros(len(row), dtype="int64") for row in ids], np.asarray(labels))


def first_token_logits(batch):
    """Logits that only depend on the sentence, so that a mixed-up order shows."""
    first = batch.input_ids[:, 0].astype("float32")
    return paddle.stack([first, -first, first * 2], axis=1)


def test_logits_come_in_the_order_of_the_data():
    data = encoded([0] * 23)
    logits = predict(first_token_logits, data, 3, pad_id=0, batch_size=4)
    np.testing.assert_array_equal(logits[:, 0], [row[0] for row in data.input_ids])
    np.testing.assert_array_equal(logits[:, 2], 2 * logits[:, 0])


def test_two_dev_splits_are_averaged_and_named():
    splits = {"matched": encoded([2] * 8), "mismatched": encoded([2, 0] * 4, seed=1)}
    found = score(glue_task("mnli"), first_token_logits, splits, pad_id=0)
    assert found["matched_accuracy"] == 1.0
    assert found["mismatched_accuracy"] == 0.5
    assert found["score"] == 0.75
    assert next(iter(found)) == "score"


def test_one_dev_split_keeps_plain_names():
    found = score(glue_task("mnli"), first_token_logits, {"dev": encoded([2, 1])}, pad_id=0)
    assert found == {"score": 0.5, "accuracy": 0.5}


def test_table_is_markdown_with_aligned_numbers():
    lines = table([{"name": "a", "size": "1.5"}, {"name": "long", "size": "10.25"}]).split("\n")
    assert lines == ["| name |  size |", "|------|------:|", "| a    |   1.5 |", "| long | 10.25 |"]


def test_importance_plot_is_a_picture_of_the_scores(tmp_path):
    rng = np.random.default_rng(0)
    pictures = []
    for name in "ab":
        importance = Importance(rng.random((3, 4)), rng.random((3, 50)))
        importance_plot(importance, tmp_path / f"{name}.png", "title")
        pictures.append((tmp_path / f"{name}.png").read_bytes())
    assert pictures[0].startswith(b"\x89PNG")
    assert pictures[0] != pictures[1]


def test_alternatives_run_in_turn_and_warm_ups_are_not_timed():
    order = []
    runs = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    times = timing.in_turn(runs, repeats=4, warmup=2)
    assert order == ["a", "b"] * 6
    assert all(len(values) == 4 and (values >= 0).all() for values in times.values())


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UserError("width 2: allowed is 1"), 2, "width 2: allowed is 1"),
        (RunError("broke"), 1, "broke"),
        (KeyboardInterrupt(), 130, "--resume"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "some/file"), 1, "some/file: No space left"),
        (MemoryError(), 1, "--batch_size"),
    ],
)
def test_errors_become_one_line_and_an_exit_code(error, code, words, capsys):
    def work(argv):
        raise error

    assert process.run_command(work, []) == code
    shown = capsys.readouterr().err
    assert shown.count("error:") == 1
    assert words in shown
    assert "Traceback" not in shown


def test_our_own_bugs_keep_their_stack_trace():
    def work(argv):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        process.run_command(work, [])


def test_only_the_first_process_logs(monkeypatch, capsys):
    def work(argv):
        logging.getLogger("ofa_bert.test").info("hello")

    monkeypatch.setenv("PADDLE_TRAINER_ID", "1")
    process.run_command(work, [])
    assert "hello" not in capsys.readouterr().err
    monkeypatch.setenv("PADDLE_TRAINER_ID", "0")
    process.run_command(work, [])
    assert "hello" in capsys.readouterr().err
