"""What chooses the best step and when a training ends: metrics, epochs, patience, weights of classes, the test file."""

import dataclasses
import json

import numpy as np
import paddle
import pytest

from helpers.models import WORDS, build, randomise
from ofa_bert.__main__ import main
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.data.source import DataSource
from ofa_bert.data.tokenization.tokenizer_files import read_tokenizer
from ofa_bert.errors import UserError
from ofa_bert.models.record import ModelRecord, check_task
from ofa_bert.tasks.metrics import compute, main_score
from ofa_bert.tasks.task import Task
from ofa_bert.training import loop, run
from ofa_bert.training.finetune import balanced, labelled_losses
from ofa_bert.training.losses.formulas import cross_entropy, weighed_cross_entropy
from ofa_bert.training.losses.task import losses_of
from ofa_bert.training.run_directory import Evaluation
from ofa_bert.training.settings import Evaluations, LabelLoss, LoopSettings, OptimizerSettings

TASK = Task("own", ("rare", "usual"), ("accuracy",), ("text",))


def test_the_metric_that_somebody_chose_is_the_first_and_stays_with_the_model():
    chosen = TASK.judged_by("macro_f1")
    assert chosen.metrics == ("macro_f1", "accuracy")
    assert Task.from_json(json.loads(json.dumps(chosen.to_json()))) == chosen
    logits, labels = np.eye(2)[[1, 1, 1, 1]], np.array([0, 1, 1, 1])
    scores = compute(chosen, logits, labels)
    assert main_score(chosen, scores) == pytest.approx((0 + 6 / 7) / 2)
    assert scores["accuracy"] == 0.75
    # Whoever trains on from that model and names none keeps it; whoever names another one gets that.
    record = ModelRecord(task=chosen)
    assert check_task("m", record, TASK).metrics == ("macro_f1", "accuracy")
    assert check_task("m", record, TASK.judged_by("matthews")).metrics == ("matthews", "accuracy")
    with pytest.raises(UserError, match="`metric` pearson: task own has classes, whose metrics are accuracy, f1, "):
        TASK.judged_by("pearson")
    with pytest.raises(UserError, match="not a task: metric 'f1'"):
        Task.from_json({**chosen.to_json(), "metric": "f1"})


def test_data_that_a_record_names_keep_its_metric(tmp_path):
    (tmp_path / "own.tsv").write_text("text\tlabel\nx\trare\ny\tusual\n")
    given = DataSource(train_file=str(tmp_path / "own.tsv"), dev_file=str(tmp_path / "own.tsv"), metric="weighted_f1")
    assert given.load().task.metrics == ("weighted_f1", "accuracy")


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, [2.0, 0.5, 1.0]])
def test_weighed_cross_entropy_is_that_of_the_formula(weights, smoothing):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=[7, 3]).astype("float32"), rng.integers(0, 3, 7)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    target = (1 - smoothing) * np.eye(3)[labels] + smoothing / 3
    each = -(target * log_p).sum(-1) * (np.asarray(weights)[labels] if weights else 1.0)
    found = weighed_cross_entropy(weights, smoothing)(paddle.to_tensor(logits), paddle.to_tensor(labels))
    assert float(found) == pytest.approx(each.mean(), rel=1e-5)
    if weights is None and not smoothing:
        assert float(found) == pytest.approx(float(cross_entropy(paddle.to_tensor(logits), paddle.to_tensor(labels))))


def test_balanced_weights_are_scikit_learns():
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.random.default_rng(0).choice(3, 200, p=[0.8, 0.15, 0.05])
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert balanced(labels, 3) == pytest.approx(wanted)
    assert np.mean(np.asarray(balanced(labels, 3))[labels]) == pytest.approx(1.0)
    assert balanced(labels, 4) == pytest.approx([*wanted, 0.0])  # a class that nobody has counts for nobody


def encoded(labels):
    return Encoded([np.array([1])] * len(labels), [np.array([0])] * len(labels), np.asarray(labels))


def test_what_has_no_classes_has_no_weights_of_classes():
    numbers = Task("n", (), ("pearson",), ("text",))
    for how, name in (
        (LabelLoss(class_weights="balanced"), "class_weights"),
        (LabelLoss(label_smoothing=0.1), "label_smoothing"),
    ):
        with pytest.raises(UserError, match=f"`{name}`: is about classes, and n has numbers"):
            labelled_losses(numbers, encoded([0.5, 1.0]), how)
    assert labelled_losses(numbers, encoded([0.5, 1.0]), LabelLoss()) == losses_of(numbers)


def test_a_majority_that_makes_accuracy_mislead_is_told(caplog):
    rare = encoded([0] + [1] * 9)
    labelled_losses(TASK, rare, LabelLoss())
    assert "90% of train are usual, so accuracy tells little; `metric` macro_f1" in caplog.text
    caplog.clear()
    labelled_losses(TASK.judged_by("macro_f1"), rare, LabelLoss())
    labelled_losses(TASK, rare, LabelLoss(class_weights="balanced"))
    labelled_losses(TASK, encoded([0, 0, 1, 1]), LabelLoss())
    assert "accuracy" not in caplog.text


class Three:
    """Batches that a training goes through in three steps."""

    steps_per_epoch = 3

    def epoch(self, number, start=0):
        from ofa_bert.data.encoding.batches import Batch

        for _ in range(start, 3):
            ones = np.ones([1, 2], "int64")
            yield Batch(ones, ones * 0, np.zeros(1, "int64"), None)


def trained(tmp_path, scores, evaluations, tiny_bert_dir, steps=12, resume=False, stages=()):
    """The steps at which a training was evaluated that scores so, one after the other."""
    model = randomise(build("bert", layers=1, num_labels=2), 1)
    tokenizer, found, seen = read_tokenizer(tiny_bert_dir, "bert"), iter(scores), []

    def step(batch, number, backward):
        loss = model(batch.input_ids).mean()
        backward(loss)
        return {"loss": float(loss)}

    def evaluate():
        value = next(found)
        return Evaluation(score=value, scores={"score": value})

    training = run.Training(
        name="t", model=model, tokenizer=tokenizer, record=ModelRecord(task=TASK), batches=Three(),
        make_step=lambda plan: step, evaluate=evaluate, observe=lambda at, score: seen.append(at), stage_shares=stages,
    )  # fmt: skip
    settings = LoopSettings(max_steps=steps, save_steps=2, device="cpu", resume=resume)
    kept = run.train(training, tmp_path, settings, OptimizerSettings(), evaluations)
    return seen, kept


def test_every_epoch_is_evaluated_when_it_is_asked_for(tmp_path, tiny_bert_dir):
    seen, _ = trained(tmp_path, [0.1, 0.2, 0.3, 0.4], Evaluations(eval_every="epoch"), tiny_bert_dir)
    assert seen == [3, 6, 9, 12]


def test_patience_ends_a_training_and_what_it_has_is_kept(tmp_path, tiny_bert_dir, caplog):
    scores = [0.1, 0.4, 0.3, 0.4, 0.9, 0.9]
    seen, kept = trained(tmp_path, scores, Evaluations(early_stopping=2), tiny_bert_dir)
    assert seen == [2, 4, 6, 8]  # as good is not better
    assert kept.best["best"]["step"] == 4
    assert json.loads((tmp_path / "last" / "ofa_config.json").read_text())["step"] == 8
    # Resumed, it is still over.
    again, kept = trained(tmp_path, [], Evaluations(early_stopping=2), tiny_bert_dir, resume=True)
    assert again == []
    assert kept.best["best"]["step"] == 4


def test_of_two_stages_only_the_last_ends_early(tmp_path, tiny_bert_dir):
    scores = [0.5, 0.4, 0.3, 0.2, 0.2, 0.2]
    seen, _ = trained(tmp_path, scores, Evaluations(early_stopping=2), tiny_bert_dir, stages=(0.5,))
    assert seen == [2, 4, 6, 8, 10]


@pytest.fixture(scope="module")
def skewed(tmp_path_factory):
    """Train, dev and test of two classes, nine tenths of one; a word tells them apart, for a noisy eighth it lies."""
    folder, rng = tmp_path_factory.mktemp("skewed"), np.random.default_rng(0)
    for name, count in (("train", 320), ("dev", 120), ("test", 120)):
        lines = ["text\tlabel"]
        for _ in range(count):
            rare = rng.random() < 0.1
            word = "bad" if rare != (rng.random() < 0.06) else "good"
            lines.append(f"{' '.join(rng.choice(WORDS, 4))} {word}\t{'rare' if rare else 'usual'}")
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    return folder


def finetuned(skewed, model, output, *more):
    words = ["finetune", "--model_name_or_path", model, "--output_dir", output, "--device", "cpu"]
    words += ["--train_file", skewed / "train.tsv", "--dev_file", skewed / "dev.tsv", "--max_seq_length", 16]
    assert main([*map(str, words), *map(str, more)]) == 0
    return json.loads((output / "results.json").read_text())


@pytest.mark.slow
def test_a_finetuning_with_all_of_them_and_a_supernet_that_goes_on(skewed, tiny_bert_dir, tmp_path, capsys):
    more = ("--metric", "macro_f1", "--class_weights", "balanced", "--label_smoothing", 0.05, "--eval_every", "epoch")
    more += (
        "--early_stopping",
        2,
        "--num_train_epochs",
        6,
        "--learning_rate",
        3e-3,
        "--test_file",
        skewed / "test.tsv",
    )
    found = finetuned(skewed, tiny_bert_dir, tmp_path / "teacher", *more)
    assert [entry["step"] for entry in found["history"]][:2] == [10, 20]
    assert found["best"]["score"] == found["best"]["scores"]["macro_f1"]
    assert found["test"]["examples"] == 120
    assert 0 < found["test"]["scores"]["best"]["macro_f1"] <= 1
    assert f"on {skewed / 'test.tsv'}: " in capsys.readouterr().out
    record = json.loads((tmp_path / "teacher" / "best" / "ofa_config.json").read_text())
    assert record["task"]["metric"] == "macro_f1"
    words = [
        "supernet",
        "--model_name_or_path",
        tmp_path / "teacher",
        "--output_dir",
        tmp_path / "net",
        "--device",
        "cpu",
    ]
    words += [
        "--width_mult_list",
        1.0,
        0.5,
        "--max_steps",
        4,
        "--eval_every",
        "epoch",
        "--test_file",
        skewed / "test.tsv",
    ]
    assert main([*map(str, words)]) == 0
    results = json.loads((tmp_path / "net" / "results.json").read_text())
    assert list(results["best"][0]["scores"])[:2] == ["score", "macro_f1"]
    assert set(results["test"]["scores"]) == {"w1_d1", "w0.5_d1"}
    printed = capsys.readouterr().out
    assert "120 examples" in printed


def test_a_test_file_of_another_task_is_refused_before_the_first_step(skewed, tiny_bert_dir, tmp_path, capsys):
    (tmp_path / "other.tsv").write_text("text\tlabel\nx\tunheard\n")
    words = ["finetune", "--model_name_or_path", tiny_bert_dir, "--output_dir", tmp_path / "o", "--device", "cpu"]
    words += ["--train_file", skewed / "train.tsv", "--dev_file", skewed / "dev.tsv", "--max_seq_length", 16]
    assert main([*map(str, words), "--test_file", str(tmp_path / "other.tsv")]) == 2
    error = capsys.readouterr().err
    assert "other.tsv:2: unknown label 'unheard'" in error
    assert "step 1/" not in error
    assert main([*map(str, words), "--metric", "rmse"]) == 2
    assert "--metric rmse: task custom has classes, whose metrics are accuracy" in capsys.readouterr().err


def test_a_plan_knows_its_epochs():
    settings = dataclasses.replace(LoopSettings(), gradient_accumulation_steps=2)
    assert loop.make_plan(settings, 5).epoch_steps == 3
